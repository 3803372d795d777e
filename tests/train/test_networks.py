"""Networks of users, of entry points and of transformers: made, blamed, trained, run again."""

from __future__ import annotations

import copy
import importlib
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="the extra train is not installed")

from killed import whole_and_resumed  # noqa: E402
from loader.synthetic import Shape, make_pack  # noqa: E402

from tinyvirat_build.cli import main  # noqa: E402
from tinyvirat_build.errors import SettingsError, TinyviratError, TrainError  # noqa: E402
from tinyvirat_build.loader.augment import IMAGENET_MEAN, IMAGENET_STD, Augment  # noqa: E402
from tinyvirat_build.loader.ranks import Ranks  # noqa: E402
from tinyvirat_build.train import fit, models, runs, settings  # noqa: E402
from tinyvirat_build.train.data import make_loaders  # noqa: E402
from tinyvirat_build.train.models.network import Network, make  # noqa: E402
from tinyvirat_build.train.models.spec import Spec, read_spec  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402
from tinyvirat_build.train.weights import load_weights  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
TINY = {"image_size": 32, "patch_size": 16, "num_frames": 4, "hidden_size": 16}
TINY |= {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS: dict[str, dict[str, Any]] = {
    "videomae": TINY,
    "timesformer": TINY,
    "vivit": TINY | {"tubelet_size": [2, 16, 16]},
    "vjepa2": TINY
    | {"crop_size": 32, "frames_per_clip": 4, "hidden_size": 24, "mlp_ratio": 2.0}
    | {"num_pooler_layers": 1, "pred_hidden_size": 24, "pred_num_attention_heads": 2}
    | {"pred_num_hidden_layers": 1},
}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with a pack of tiny clips."""
    folder = tmp_path_factory.mktemp("networks")
    rng = np.random.default_rng(0)
    make_pack(
        folder / "pack",
        [
            Shape(int(rng.integers(2, 15)), 12, 14, split=split, labels=(int(rng.integers(3)),))
            for split, count in (("train", 160), ("val", 4), ("test", 5))
            for _ in range(count)
        ],
    )
    return folder


def of_docs() -> str:
    """The network of a user's own file, as the documentation has it."""
    text = (DOCS / "training.md").read_text()
    return re.search(r"```python\n# net\.py\n(.*?)```", text, re.DOTALL)[1]


def write_config(folder: Path, kind: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.json"
    file.write_text(json.dumps({"model_type": kind, **CONFIGS[kind]}))
    return file


def small(model: str, *overrides: str) -> settings.TrainSettings:
    base = [f"model={model}", "epochs=1", "schedule.warmup=0", "data.batch=4"]
    return settings.load("demo", [*base, *overrides])


def test_a_network_in_a_file_says_what_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(of_docs())
    assert len([line for line in of_docs().splitlines() if line.strip()]) <= 12
    network = make(f"{file}:Net", 5)
    network.tried(5, 8, 32, CPU)
    assert (network.spec.frames, network.spec.size, network.spec.head) == (8, 32, "head")
    assert [network.spec.depth_of(n) for n in ("stem.0.bias", "body.0.bias", "head.bias")] == [
        0,
        1,
        2,
    ]
    chosen = small(f"{file}:Net").settled(network.name, network.spec)
    assert chosen.clip_shape == (8, 32)
    assert network.keep == file
    assert not list(tmp_path.glob("__pycache__"))


def test_what_a_file_imports_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "parts_of_mine.py").write_text("from torch import nn\nHead = nn.Linear\n")
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\nfrom parts_of_mine import Head\n"
        "def net(n): return nn.Sequential(nn.Flatten(), Head(3, n))\n"
    )
    kept = tmp_path / "run" / "network.py"
    kept.parent.mkdir()
    kept.write_bytes(file.read_bytes())
    assert make(f"{file}:net", 5).spec == Spec()
    file.unlink()
    assert make(f"{file}:net", 5, kept=kept).origin["file"] == str(file)


FAULTS = {  # a file's text; the line at fault; what is told
    "import": ("import torch\nimport no_such_thing\n", 2, "No module named 'no_such_thing'"),
    "syntax": ("import torch\ndef net(n:\n", 2, "SyntaxError"),
    "exit": ("import sys\n\nsys.exit(3)\n", 3, "SystemExit: 3"),
    "raises": ("def net(n):\n    n = n + 1\n    return [][n]\n", 3, "list index out of range"),
    "kind": ("import torch\n\ndef net(n):\n    return n\n", 3, "gives int, no torch.nn.Module"),
    "call": ("import torch\n\ndef net():\n    return 1\n", 3, "takes 0 positional arguments"),
    "shape": (
        "from torch import nn\nclass net(nn.Module):\n"
        "    def __init__(self, n): super().__init__()\n    def forward(self, x): return x\n",
        2,
        "gives (2, 3, 4, 16, 16) of torch.float32 for clips (2, 3, 4, 16, 16), not logits (2, 4)",
    ),
    "forward": (
        "from torch import nn\nclass net(nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.f = nn.Linear(7, n)\n"
        "    def forward(self, x):\n        return self.f(x)\n",
        7,
        "RuntimeError: ",
    ),
    "trained": (
        "from torch import nn\nclass net(nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.f = nn.Linear(3, n)\n"
        "    def forward(self, x):\n        if self.training: raise KeyError('later')\n"
        "        return self.f(x.mean((2, 3, 4)))\n",
        7,
        "KeyError: 'later'",
    ),
    "whole numbers": (
        "from torch import nn\nclass net(nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.f = nn.Linear(3, n)\n"
        "    def forward(self, x): return self.f(x.mean((2, 3, 4))).long()\n",
        2,
        "gives (2, 4) of torch.int64",
    ),
    "no such head": (
        "from torch import nn\n\ndef net(n): return nn.Linear(3, n)\nnet.spec = {'head': 'fc'}\n",
        3,
        "the network has nothing under its head 'fc'",
    ),
    "missing": ("def nett(n): pass\n", None, "there is no net (did you mean nett?)"),
    "spec": (
        "from torch import nn\n\ndef net(n): return nn.Flatten()\nnet.spec = {'frame': 3}\n",
        3,
        "spec has no 'frame' (did you mean frames?)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_of_a_users_code_is_one_line_with_its_place(
    fault: str, build: Path, tmp_path: Path
) -> None:
    text, line, told = FAULTS[fault]
    file = tmp_path / "net.py"
    file.write_text(text)
    command = ["train", "--model", f"{file}:net", "--build", str(build), "--preset", "demo"]
    command += ["--set", "data.frames=4", "--set", "data.size=16", "--device", "cpu", "--quiet"]
    done = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "run")])
    assert done.exit_code == 2, done.output
    where = f"{file}:{line}: " if line else f"{file}: "
    assert done.stderr.startswith(f"error: {where}"), done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: torch.nn.Identity(), "no parameter is left to train"),
        (
            lambda: torch.nn.Linear(1, 1),
            r"gives .* in training, not logits \(2, 3\)",
        ),
    ],
)
def test_what_only_training_shows_is_told(made: Any, told: str) -> None:
    with pytest.raises(TrainError, match=told):
        trainer = Trainer(made(), small("resnet3d10-narrow"), CPU)
        trainer.backward(torch.zeros(2, 3, 4, 16, 1), torch.zeros(2, 3), parts=1, last=True)


def test_names_that_are_none_are_told(tmp_path: Path) -> None:
    for name, told in (
        ("resnet3d-18", "did you mean resnet3d18"),
        (f"{tmp_path}/none.py:net", "cannot be read"),
        ("no_such_package.nets:net", "there is no module no_such_package.nets"),
        ("json.nothing:net", r"there is no module json\.nothing"),
        ("torch.nn:", "names no file or no factory"),
        (":net", "names no file or no factory"),
    ):
        with pytest.raises(SettingsError, match=told):
            make(name, 3)


def test_settings_take_every_form_of_a_name() -> None:
    for name in ("a.py:net", "a.b:net", "transformers:a/b"):
        assert settings.load("demo", [f"model={name}"]).model == name
        with pytest.raises(SettingsError, match=r"not known before it is made; set data\.frames"):
            _ = settings.load("paper", [f"model={name}"]).clip_shape
    with pytest.raises(SettingsError, match="did you mean resnet3d18"):
        settings.load("demo", ["model=resnet3d-18"])


def test_modules_and_entry_points_name_their_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_of_mine").mkdir()
    (tmp_path / "nets_of_mine" / "__init__.py").write_text(of_docs())
    info = tmp_path / "nets_of_mine-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nets-of-mine\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("nets_of_mine\n")
    (info / "entry_points.txt").write_text(f"[{models.ENTRY_POINTS}]\nmine = nets_of_mine:Net\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    for name in ("nets_of_mine:Net", "mine"):
        network = make(settings.load("demo", [f"model={name}"]).model, 4)
        network.tried(4, 8, 32, CPU)
        assert network.name == name
        assert network.origin["distribution"] == "nets-of-mine"
        assert network.origin["version"] == "1.2"
        assert network.identity.startswith("nets-of-mine 1.2 ")


def test_settings_reach_the_loaders(build: Path) -> None:
    """Normalisation and frames of training and evaluation; every field of the augmentation."""
    still = (
        "{scale: [1, 1], ratio: [1, 1], flip: 0, brightness: 0, contrast: 0, saturation: 0, hue: 0}"
    )
    base = ["model=resnet3d10-narrow", "data.sampler=shuffled", f"augment={still}"]
    base += ["data.temporal=uniform", "data.frames=4", "data.size=16", "data.batch=4"]
    plain, other = (
        make_loaders(settings.load("demo", [*base, *more]), build, CPU, Ranks())
        for more in ([], ["data.mean=[0.5, 0, 0.1]", "data.std=[0.5, 1, 2]"])
    )
    for one, two in zip(plain, other, strict=True):
        assert one is not None
        assert two is not None
        (a, _, ids), (b, _, same) = next(iter(one)), next(iter(two))
        assert ids == same
        rgb = a * torch.tensor(IMAGENET_STD).view(3, 1, 1, 1) + torch.tensor(IMAGENET_MEAN).view(
            3, 1, 1, 1
        )
        mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in ([0.5, 0, 0.1], [0.5, 1, 2]))
        torch.testing.assert_close(b * std + mean, rgb, rtol=0, atol=1e-5)
    assert plain[1] is not None
    assert plain[1].items == 4  # of val: one item a clip, for it sees the whole clip
    varied = settings.load("demo", ["augment.jitter=2", "augment.grayscale=0.5"]).augment
    assert (varied.jitter, varied.grayscale, varied.flip) == (2, 0.5, Augment().flip)
    with pytest.raises(SettingsError, match="hue is in"):
        settings.load("demo", ["augment.hue=2"])


def test_spec_is_read_strictly() -> None:
    assert read_spec(None) == Spec()
    assert read_spec({"mean": [0, 0, 0], "std": (1, 1, 1)}).std == (1.0, 1.0, 1.0)
    for given in (
        [],
        {"frames": 0},
        {"mean": 3},
        {"std": [1, 1]},
        {"head": 3},
        {"layers": 4},
        {"layers": "a"},
    ):
        with pytest.raises(SettingsError):
            read_spec(given)


def test_the_layers_of_every_baseline_are_there_in_order() -> None:
    for name, arch in models.NAMES.items():
        with torch.device("meta"):
            names = [n for n, _ in models.build(name, 3).named_parameters()]
        depths = {n: arch.spec.depth_of(n) for n in names}
        assert set(depths.values()) == set(range(len(arch.layers) + 1)), name
        assert {n for n in names if depths[n] == len(arch.layers)} == {
            n for n in names if arch.spec.is_head(n)
        }


def test_a_run_keeps_the_code_that_it_was_trained_by(build: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "net.py", tmp_path / "run"
    file.write_text(of_docs())
    chosen = small(f"{file}:Net", "schedule.name=constant", "data.batch=0")
    fit.train(chosen, build, out, device="cpu", progress=False)
    about = json.loads((out / "run.json").read_text())
    assert about["network"]["file"] == str(file)
    assert about["input"] == [3, 8, 32, 32]
    assert (out / "network.py").read_text() == file.read_text()
    before = runs.open_run(out).model().state_dict()
    file.write_text(file.read_text().replace("nn.ReLU(), nn.Adaptive", "nn.GELU(), nn.Adaptive"))
    run = runs.open_run(out)
    assert "GELU" not in str(run.model())
    assert all(torch.equal(v, before[k]) for k, v in run.model().state_dict().items())
    assert run.architecture == "net.py:Net"
    assert run.settings.batch == 16
    more = small(f"{file}:Net", "schedule.name=constant", "epochs=2", "data.batch=16")
    with pytest.raises(TrainError, match="of a network whose code was another"):
        fit.train(more, build, out, device="cpu", progress=False)
    (out / "network.py").write_text("")
    with pytest.raises(TrainError, match=r"network\.py: changed since the run was trained"):
        run.model()


def test_weights_are_judged_by_the_parameters_that_match(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    file = tmp_path / "net.py"
    file.write_text(of_docs())
    given = make(f"{file}:Net", 7).module
    folder = tmp_path / "weights"
    folder.mkdir()
    parts: tuple[dict[str, Any], ...] = ({}, {})
    for i, (name, value) in enumerate(given.state_dict().items()):
        parts[i % 2][f"module.{name}"] = value
    for i, part in enumerate(parts):
        safetensors.save_file(part, folder / f"model-{i}.safetensors")
    network = make(f"{file}:Net", 3)
    report = load_weights(network.module, folder, head="head")
    assert report.head == ("head.weight", "head.bias")
    assert report.share == 1
    assert torch.equal(network.module.body[0].weight, given.body[0].weight)
    assert "100% of the parameters" in report.lines()[0]
    torch.save({"head.bias": torch.zeros(3)}, tmp_path / "head.pt")
    torch.save({"stem.0.bias": torch.zeros(8)}, tmp_path / "little.pt")
    torch.save({"other": torch.zeros(8)}, tmp_path / "none.pt")
    for name, head, told in (
        ("head", "head", "no entry fits"),
        ("little", "head", "only 8 of 4,144 parameters fit"),
        ("none", "", "no entry fits"),
    ):
        with pytest.raises(TrainError, match=told):
            load_weights(network.module, tmp_path / f"{name}.pt", head=head)
    assert load_weights(network.module, tmp_path / "little.pt", head="").matched == ("stem.0.bias",)
    (folder / "model-0.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(TrainError, match="not safetensors, or broken"):
        load_weights(network.module, folder, head="head")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainError, match="no weights in it"):
        load_weights(network.module, tmp_path / "empty", head="head")


def stepped(network: Network, recomputed: str) -> dict[str, Any]:
    """Weights after a step, half of the layers frozen, the blocks computed again or not."""
    options = ["freeze=2", "optim.layer_decay=0.5", f"grad_checkpointing={recomputed}"]
    s = settings.load("demo", [*options, "model=transformers:x"])
    trainer = Trainer(copy.deepcopy(network.module), s, CPU, spec=network.spec)
    trainer.train_mode()
    torch.manual_seed(0)
    trainer.backward(torch.randn(2, 3, 4, 32, 32), torch.ones(2, 5), parts=1, last=True)
    trainer.update(0.01)
    return trainer.model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_transformers_from_a_folder(kind: str, tmp_path: Path) -> None:
    """Random ones: clips go in, every parameter learns, layers are found, weights come back."""
    transformers = pytest.importorskip("transformers")
    file = write_config(tmp_path, kind)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.2]})
    )
    network = make(f"transformers:{file}", 5)
    assert network.weights is None
    assert (network.spec.frames, network.spec.size) == (4, 32)
    assert network.spec.mean == (0.4, 0.5, 0.6)
    assert network.origin["version"] == transformers.__version__
    network.module(torch.randn(2, 3, 4, 32, 32)).sum().backward()
    names = {n: p.grad for n, p in network.module.named_parameters()}
    assert None not in names.values()
    depths = {network.spec.depth_of(n) for n in names}
    assert depths == {0, 1, 2, 3}
    one, two = (stepped(network, option) for option in ("false", "true"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    for name, value in network.module.state_dict().items():
        frozen = network.spec.depth_of(name) < 2
        assert torch.equal(one[name], value) == (frozen or name not in names), name
    clips = torch.randn(1, 3, 4, 32, 32)
    network.module.model.save_pretrained(tmp_path)
    again = make(f"transformers:{tmp_path}", 5)
    assert again.weights == tmp_path
    assert not load_weights(again.module, tmp_path, head=again.spec.head).missing
    (tmp_path / "model.safetensors").unlink()  # as older releases have them
    torch.save(network.module.model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "training_args.bin").write_bytes(b"a pickle, of no weights")
    older = make(f"transformers:{tmp_path}", 5)
    assert older.weights == tmp_path
    assert not load_weights(older.module, tmp_path, head=older.spec.head).missing
    with torch.no_grad():
        expected = network.module.eval()(clips)
        torch.testing.assert_close(again.module.eval()(clips), expected, rtol=0, atol=0)


@pytest.mark.slow
def test_published_videomae_weights_are_spelled_anew(tmp_path: Path) -> None:
    """Their queries' and values' biases have names that the code no longer has."""
    pytest.importorskip("transformers")
    file = write_config(tmp_path, "videomae")
    given = make(f"transformers:{file}", 400).module.model.state_dict()
    given = {k: torch.randn_like(v) for k, v in given.items()}
    old = {
        re.sub(r"(query|value)\.bias$", lambda m: f"{m[1][0]}_bias", k): v
        for k, v in given.items()
        if not k.endswith("key.bias")
    }
    assert any(k.endswith("attention.q_bias") for k in old)
    torch.save(old | {"decoder.norm.weight": torch.ones(3)}, tmp_path / "w.pt")
    network = make(f"transformers:{file}", 5)
    report = load_weights(network.module, tmp_path / "w.pt", head=network.spec.head)
    assert report.unexpected == ("decoder.norm.weight",)
    loaded = network.module.model.state_dict()
    for name, value in given.items():
        if not name.startswith("classifier."):
            none = name.endswith("key.bias")  # which the published ones do not have
            assert torch.equal(loaded[name], torch.zeros_like(value) if none else value), name


@pytest.mark.slow
def test_a_configuration_that_is_none_is_told(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    file = tmp_path / "config.json"
    for text, told in (
        ("{", r"config\.json: not JSON"),
        ("[]", "not a mapping"),
        ('{"model_type": "bert"}', "'bert' is none of videomae"),
        ('{"model_type": "videomae", "hidden_size": 17}', "transformers refuses it"),
        ('{"model_type": "videomae", "hidden_size": "x"}', "transformers refuses it"),
    ):
        file.write_text(text)
        with pytest.raises(TinyviratError, match=told):
            make(f"transformers:{file}", 3)
    with pytest.raises(SettingsError, match="cannot be read"):
        make(f"transformers:{tmp_path / 'none'}", 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "videomae"])
def test_trained_killed_resumed_evaluated_predicted(kind: str, build: Path, tmp_path: Path) -> None:
    """From the command line, as the documentation says it; the weights end up equal."""
    if kind == "file":
        (tmp_path / "net.py").write_text(of_docs())
        model = f"{tmp_path}/net.py:Net"
    else:
        pytest.importorskip("transformers")
        model = f"transformers:{write_config(tmp_path, kind).parent}"
    options = ["deterministic=true", "save_every=3", "read_every=3", "epochs=2", "data.stride=1"]
    options += ["freeze=1", "optim.layer_decay=0.7", "grad_checkpointing=true"]
    whole, cut = whole_and_resumed(small(model, *options), build, tmp_path)
    both = [option for out in (whole, cut) for option in ("--run", str(out))]
    for arguments in (
        ["evaluate", *both, "--out", str(tmp_path / "e")],
        ["evaluate", "--run", str(cut)],
        ["predict", "--run", str(cut), "--out", str(tmp_path / "answer.txt")],
    ):
        done = CliRunner().invoke(main, [*arguments, "--device", "cpu"])
        assert done.exit_code == 0, done.output
    assert len((tmp_path / "answer.txt").read_text().splitlines()) == 5
    results = json.loads((cut / "evaluation-test" / "results.json").read_text())
    assert results["origin"]["runs"][0]["model"] == models.short_name(
        runs.open_run(cut).settings.model
    )


def test_another_version_of_a_package_is_said(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "net.py", tmp_path / "run"
    file.write_text(of_docs())
    fit.train(small(f"{file}:Net"), build, out, device="cpu", progress=False)
    assert runs.open_run(out).note is None
    about = json.loads((out / "run.json").read_text())
    about["network"] |= {"distribution": "torch", "version": "0.1"}
    (out / "run.json").write_text(json.dumps(about))
    note = f"trained with torch 0.1, here is {metadata.version('torch')}"
    assert note in str(runs.open_run(out).note)
