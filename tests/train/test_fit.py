"""The runner on a small loader in memory: it learns, resumes exactly, stops on NaN."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from tinyvirat_build import store  # noqa: E402
from tinyvirat_build.cli import main  # noqa: E402
from tinyvirat_build.errors import SettingsError, TrainError  # noqa: E402
from tinyvirat_build.loader.mirror import mirror_classes  # noqa: E402
from tinyvirat_build.loader.ranks import Ranks, own_device  # noqa: E402
from tinyvirat_build.store.means import lacking  # noqa: E402
from tinyvirat_build.train import fit as runner  # noqa: E402
from tinyvirat_build.train import models, runs, settings  # noqa: E402
from tinyvirat_build.train.loop import step_seed  # noqa: E402
from tinyvirat_build.train.losses import asymmetric, binary_cross_entropy  # noqa: E402
from tinyvirat_build.train.meter import Meter  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402
from tinyvirat_build.train.weights import load_weights, read_checkpoint  # noqa: E402

from .memory import (  # noqa: E402
    CLASSES,
    MemoryLoader,
    cut_off,
    killed_at,
    rows,
    small,
    start,
    tiny,
    weights,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_learns_and_logs(tmp_path: Path) -> None:
    chosen = small("epochs=6")
    result = start(tmp_path / "run", chosen, model=models.build(chosen.model, len(CLASSES)))
    log = rows(tmp_path / "run")
    assert [row["epoch"] for row in log] == list("012345")
    assert float(log[-1]["loss"]) < float(log[0]["loss"]) * 0.8
    assert float(log[-1]["lr"]) == pytest.approx(0.0003)
    assert result.best == pytest.approx(max(float(row["val_map"]) for row in log), abs=1e-5)
    assert result.steps == 36
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    run = runs.open_run(tmp_path / "run")
    assert run.classes == CLASSES
    assert run.settings == chosen
    assert run.model()(torch.zeros(1, 3, 4, 16, 16)).shape == (1, 3)
    again = start(tmp_path / "run", chosen, model=run.model())
    assert again.steps == 36
    assert len(rows(tmp_path / "run")) == 6


@pytest.mark.parametrize("accumulate", [1, 4])
def test_every_step_of_a_warm_up_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    rates: list[float] = []
    update = Trainer.update

    def noted(trainer: Trainer, rate: float) -> Any:
        rates.append(rate)
        return update(trainer, rate)

    monkeypatch.setattr(Trainer, "update", noted)
    extra = (f"optim.accumulate={accumulate}", "schedule.warmup=1", "schedule.milestones=[]")
    start(tmp_path, small(*extra, "epochs=2", "optim.lr=0.006"))
    rise = {1: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006], 4: [0.004, 0.006]}[accumulate]
    assert rates == pytest.approx(rise + [0.006] * len(rise))


def test_what_has_no_deterministic_form_stops_the_run_in_one_line(tmp_path: Path) -> None:
    class Put(torch.nn.Sequential):
        def forward(self, clips: Any) -> Any:
            torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))
            return super().forward(clips)

    with pytest.raises(TrainError, match="set deterministic=false"):
        start(tmp_path, small(), model=Put(tiny()))
    start(tmp_path, small("deterministic=false", "epochs=1", "schedule.milestones=[]"))


EVERYTHING = (
    "dropout=0.3",
    "ema=0.9",
    "optim.name=adamw",
    "optim.clip_norm=1",
    "optim.accumulate=2",
    "optim.weight_decay=0.05",
    "schedule.name=cosine",
    "schedule.warmup=1",
    "loss.name=asymmetric",
    "save_every=2",
)


@pytest.mark.parametrize(
    ("extra", "killed"),
    [
        pytest.param(("save_every=1",), False, id="plain"),
        pytest.param(EVERYTHING, True, id="everything"),
    ],
)
def test_cut_off_in_mid_epoch_and_resumed_ends_with_the_same_weights(
    tmp_path: Path, extra: tuple[str, ...], killed: bool
) -> None:
    chosen = small(*extra)
    start(tmp_path / "whole", chosen)
    if killed:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=killed_at, args=(tmp_path / "cut", chosen, 9))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    else:
        cut_off(tmp_path / "cut", chosen, 9)
    place = runs.load_checkpoint(tmp_path / "cut" / "last.pt")["place"]
    assert place["epoch"] == 1
    assert 0 < place["batch"] < 6
    start(tmp_path / "cut", chosen)
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    timings = {"clips_per_s", "waiting", "seconds", "memory_mib"}
    plain = [
        [{k: v for k, v in row.items() if k not in timings} for row in rows(tmp_path / name)]
        for name in ("whole", "cut")
    ]
    assert plain[0] == plain[1]


def test_a_disk_that_fills_up_is_told_and_the_run_resumes_to_the_same_weights(
    tmp_path: Path, small_disk: Path
) -> None:
    chosen = small("save_every=2")
    start(tmp_path / "whole", chosen)
    loader, ballast = MemoryLoader(), small_disk / "ballast"
    loader.fill = 9, ballast
    with pytest.raises(OSError, match="No space left") as told:
        start(small_disk / "cut", chosen, loader)
    assert "no space left on its disk" in str(lacking(told.value))
    ballast.unlink()
    assert runs.load_checkpoint(small_disk / "cut" / "last.pt")["place"]["step"] == 8
    start(small_disk / "cut", chosen)
    whole, cut = weights(tmp_path / "whole"), weights(small_disk / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_two_trainings_in_one_folder(tmp_path: Path) -> None:
    command = ["train", "--build", str(tmp_path), "--out", str(tmp_path), "--quiet"]
    with store.locked(tmp_path, "training"):
        told = CliRunner().invoke(main, command)
    assert told.exit_code == 2
    assert told.output == (
        f"error: another process is training in {tmp_path}; wait for it, or give another --out\n"
    )


def test_stops_on_nan_with_the_ids_of_the_batch(tmp_path: Path) -> None:
    loader = MemoryLoader()
    loader.bad = 11
    batches = [ids for _, _, ids in MemoryLoader() if "00011" in ids]
    with pytest.raises(TrainError, match="loss is not finite") as caught:
        start(tmp_path, small("read_every=3", "save_every=1000"), loader)
    assert ", ".join(batches[0]) in str(caught.value)
    assert "last.pt" not in str(caught.value)
    assert not (tmp_path / "last.pt").exists()


class BadGradient(torch.nn.Module):
    """Its logits are finite always; the gradient is not in one of its batches."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.net, self.at, self.batches = tiny(), at, 0

    def forward(self, clips: Any) -> Any:
        logits = self.net(clips)
        self.batches += self.training
        return logits + (logits * 0).sqrt() if self.batches == self.at else logits


@pytest.mark.parametrize("clip", ["0", "1"])
@pytest.mark.parametrize("at", [3, 6, 8])
def test_stops_on_a_gradient_that_is_not_finite(tmp_path: Path, at: int, clip: str) -> None:
    chosen = small("read_every=4", f"optim.clip_norm={clip}")
    loader = MemoryLoader()
    batches = [ids for _, _, ids in loader] + [ids for _, _, ids in loader]
    loader.set_epoch(0)
    with pytest.raises(TrainError, match=f"gradient is not finite at step {at}") as caught:
        start(tmp_path, chosen, loader, model=BadGradient(at))
    assert ", ".join(batches[at - 1]) in str(caught.value)
    assert (tmp_path / "last.pt").exists() == (at > 6)
    if at > 6:
        assert all(torch.isfinite(v).all() for v in weights(tmp_path).values())


def test_stops_on_weights_that_are_not_finite(tmp_path: Path) -> None:
    model = tiny()
    model.register_buffer("spoilt", torch.tensor([1.0, float("nan")]))
    with pytest.raises(TrainError, match="a weight is not finite after step 2"):
        start(tmp_path, small("save_every=2"), model=model)
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("torn", ["", "2", "2,18,0.0003,0.5,0.1,,,10,0.0,1.2", "\0\0\0", "2,18\n"])
def test_a_torn_row_of_the_log_is_left_out(tmp_path: Path, torn: str) -> None:
    chosen = small("epochs=2", "schedule.milestones=[]")
    start(tmp_path, chosen)
    whole = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(whole + torn)
    start(tmp_path, chosen)
    assert (tmp_path / "log.csv").read_text() == whole


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    once = ("epochs=1", "schedule.milestones=[]")
    start(tmp_path, small(*once))
    with pytest.raises(TrainError, match=r"other settings, not seed=5 \(was 0\)"):
        start(tmp_path, small(*once, "seed=5"))
    with pytest.raises(TrainError, match=r"not epochs=2 \(was 1\), schedule.name=cosine"):
        start(tmp_path, small("epochs=2", "schedule.milestones=[]", "schedule.name=cosine"))
    chosen = small("epochs=2", "schedule.milestones=[]", "read_every=1", "save_every=7")
    assert start(tmp_path, chosen).epochs == 2
    assert runs.open_run(tmp_path).settings == chosen
    with pytest.raises(TrainError, match=r"epochs=1 \(was 2\)"):
        start(tmp_path, small(*once))
    with pytest.raises(TrainError, match="not of this model"):
        start(tmp_path, chosen, model=torch.nn.Sequential(tiny()))


def test_more_epochs_end_as_if_asked_for_at_once(tmp_path: Path) -> None:
    start(tmp_path / "cut", small("epochs=2"))
    start(tmp_path / "cut", small("epochs=3"))
    start(tmp_path / "whole", small("epochs=3"))
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_resumed_ranks_count_each_batch_once(world: int) -> None:
    device = torch.device("cpu")
    begun = []
    for n in range(2):
        meter = Meter(2, device)
        logits = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
        meter.add(torch.tensor(0.5 + n), logits, (logits > n).float(), ["a", "b"])
        meter.stepped(1, torch.tensor(1.0))
        meter.read(Ranks())
        begun.append(meter.state_dict())
    resumed = []
    for rank in range(world):
        meter = Meter(2, device)
        meter.load_state_dict(begun[rank::world])
        resumed.append(meter.state_dict())
    assert sum(state["loss"] for state in resumed) == 2
    assert sum(state["batches"] for state in resumed) == 2
    assert sum(state["clips"] for state in resumed) == 4
    assert torch.equal(sum(s["counts"] for s in resumed), sum(s["counts"] for s in begun))


def test_accumulation_equals_the_large_batch(tmp_path: Path) -> None:
    same = ("epochs=1", "freeze_bn=true", "schedule.milestones=[]", "optim.lr=0.0001")
    one, two = small(*same), small(*same, "optim.accumulate=2")
    start(tmp_path / "one", one, MemoryLoader(batch=8))
    start(tmp_path / "two", two, MemoryLoader(batch=4))
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("option", ["channels_last=true", "ema=0.5"])
def test_options_train(tmp_path: Path, option: str) -> None:
    result = start(tmp_path, small("epochs=1", "schedule.milestones=[]", option))
    assert np.isfinite(float(rows(tmp_path)[0]["loss"]))
    assert result.steps == 6


def test_bf16_trains_weights_in_float32(tmp_path: Path) -> None:
    # a linear model: bf16 convolutions take minutes on a CPU without such instructions
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 16 * 16, len(CLASSES)))
    chosen = small("epochs=1", "schedule.milestones=[]", "precision=bf16")
    runner.fit(
        model,
        MemoryLoader(),
        None,
        chosen,
        tmp_path,
        classes=CLASSES,
        device=torch.device("cpu"),
        progress=False,
    )
    assert {v.dtype for v in weights(tmp_path).values()} == {torch.float32}
    assert np.isfinite(float(rows(tmp_path)[0]["loss"]))


def test_weights_by_name_with_the_head_replaced(tmp_path: Path) -> None:
    given = models.build("resnet3d10-narrow", 400)
    wrapped = {f"module.{k}": v for k, v in given.state_dict().items()}
    wrapped["module.extra"] = torch.zeros(1)
    del wrapped["module.bn1.bias"]
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "w.pt")
    model = models.build("resnet3d10-narrow", 26)
    head = model.fc.weight.clone()
    report = load_weights(model, tmp_path / "w.pt", head="fc.")
    assert torch.equal(model.layer1[0].conv1.weight, given.layer1[0].conv1.weight)
    assert torch.equal(model.fc.weight, head)
    assert report.head == ("fc.weight", "fc.bias")
    assert report.missing == ("bn1.bias",)
    assert report.unexpected == ("module.extra",)
    assert len(report.matched) == len(model.state_dict()) - 3
    assert "entries loaded" in report.lines()[0]


def zeros(model: str, classes: int) -> dict[str, Any]:
    """Weights of a model in a file of a few kilobytes: each entry is one number in its shape."""
    with torch.device("meta"):
        entries = models.build(model, classes).state_dict()
    return {k: torch.zeros((), dtype=v.dtype).expand(v.shape) for k, v in entries.items()}


def test_flat_i3d_weights_fit_the_nested_one(tmp_path: Path) -> None:
    torch.save(zeros("i3d-224", 400), tmp_path / "flat.pt")
    with torch.device("meta"):
        model = models.build("i3d-112", 26)
    model.to_empty(device="cpu")
    report = load_weights(model, tmp_path / "flat.pt", head="logits.")
    assert not report.missing
    assert not report.unexpected
    assert len(report.matched) == 342


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = models.build("resnet3d10-narrow", 26)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    torch.save({"a": Path("x")}, tmp_path / "code.pt")
    for name, what in (("other", "no entry fits"), ("broken", "not a"), ("code", "not a")):
        with pytest.raises(TrainError, match=what):
            load_weights(model, tmp_path / f"{name}.pt", head="fc.")
    with pytest.raises(TrainError, match="no such file"):
        load_weights(model, tmp_path / "none.pt", head="fc.")


PREFIXES = ("", "module.", "net.", "encoder.", "_orig_mod.module.", "a.b.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", [None, "state_dict", "net", "weights", "state_dict_ema"])
def test_wrapped_weights_are_found(tmp_path: Path, prefix: str, key: str | None) -> None:
    given = models.build("resnet3d10-narrow", 26).state_dict()
    wrapped = {prefix + name: value for name, value in given.items()}
    beside = {"acc": np.float64(0.5), "best": np.int64(3), "opts": argparse.Namespace(lr=0.1)}
    torch.save(wrapped if key is None else {key: wrapped, **beside}, tmp_path / "w.pt")
    model = models.build("resnet3d10-narrow", 26)
    report = load_weights(model, tmp_path / "w.pt", head="fc.")
    assert len(report.matched) == len(given)
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    for given, model in (
        ("resnet3d18", "resnet3d10-narrow"),
        ("resnet3d18", "resnet3d50"),
        ("resnet3d50", "resnet3d18"),
        ("resnet3d18", "r2plus1d18"),
    ):
        torch.save(zeros(given, 26), tmp_path / "w.pt")
        with torch.device("meta"):
            other = models.build(model, 26)
        with pytest.raises(TrainError, match="choose its --model"):
            load_weights(other, tmp_path / "w.pt", head="fc.")


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_code_in_weights_is_named_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Code()}, "code.pt")
    with pytest.raises(TrainError, match=r"it holds posix\.mkdir") as caught:
        read_checkpoint(Path("code.pt"))
    assert "weights_only" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not Path("ran").exists()


def test_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"a": torch.arange(4)}, file)
    whole = file.read_bytes()
    broken = [b"", b"x", b"0", b".", b"(lp0\n.", b"\x80\x02.", b"<html>404", whole[:200]]
    for data in broken:
        file.write_bytes(data)
        with pytest.raises(TrainError, match="broken"):
            read_checkpoint(file)


def test_a_checkpoint_with_a_changed_byte_is_refused_or_still_the_same(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"a": torch.arange(4)}, file)
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 0x55
        file.write_bytes(data)
        try:
            found = read_checkpoint(file)
        except TrainError:
            refused += 1
        else:
            assert found.keys() == {"a"}, place
            assert torch.equal(found["a"], torch.arange(4)), place
    assert refused > 50


def test_asymmetric_without_asymmetry_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 4) * 3, torch.randint(0, 2, (5, 4)).float()
    ours = asymmetric(logits, labels, gamma_neg=0, gamma_pos=0, clip=0)
    torch.testing.assert_close(ours, binary_cross_entropy(logits, labels))


def test_asymmetric_by_its_formula() -> None:
    torch.manual_seed(1)
    logits = (torch.randn(6, 5) * 2).requires_grad_()
    labels = torch.randint(0, 2, (6, 5)).float()
    p = torch.sigmoid(logits)
    m = (p - 0.05).clamp(min=0)
    formula = labels * (1 - p) ** 1 * p.log() + (1 - labels) * m**4 * (1 - m).log()
    ours = asymmetric(logits, labels, gamma_neg=4, gamma_pos=1, clip=0.05)
    torch.testing.assert_close(ours, -formula.mean(dim=1))
    far = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    asymmetric(
        far, torch.tensor([[0.0, 1.0], [0.0, 1.0]]), gamma_neg=4, gamma_pos=1, clip=0.05
    ).sum().backward()
    assert torch.isfinite(far.grad).all()


def test_mirror_swaps_left_and_right_only() -> None:
    names = ["vehicle_turning_left", "Riding", "vehicle_turning_right", "bright_left"]
    assert mirror_classes(names).tolist() == [2, 1, 0, -1]  # there is no bright_right


OUT_OF_RANGE = (
    ("optim.lr=0", "optim.lr=.inf", "optim.lr=1e38", "optim.weight_decay=-1", "optim.clip_norm=-1")
    + (
        "ema=.nan",
        "ema=1",
        "augment.mixup=.inf",
        "augment.mixup=0.1",
        "seed=-1",
        f"seed={2**63}",
        "dropout=1",
    )
    + ("schedule.gamma=-3", "schedule.gamma=0", "schedule.milestones=[-5]", "schedule.floor=7")
    + ("loss.clip=2", "loss.gamma_neg=-1", "loss.gamma_pos=-1", "data.batch=-1")
)


@pytest.mark.parametrize("override", OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(SettingsError, match=f"out of range.*{key.partition('.')[2] or key}"):
        settings.load("paper", overrides=[override])


def test_any_seed_makes_the_seed_of_a_step() -> None:
    for seed in (0, 2**31, 2**63 - 1):
        torch.manual_seed(step_seed(seed, 10**6, 7))


@pytest.mark.parametrize(
    ("model", "batch"),
    [("i3d-224", 24), ("resnet3d50", 96), ("r2plus1d18-nopool", 64), ("wideresnet3d50", 64)],
)
def test_the_paper_preset_is_the_public_baseline(model: str, batch: int) -> None:
    paper = settings.load("paper", overrides=[f"model={model}"])
    assert paper.batch == batch
    assert not paper.data.augment
    assert paper.optim == settings.Optim("adam", 1e-3)
    assert paper.schedule == settings.Schedule("multistep", (50, 100, 150), 0.1)
    assert (paper.epochs, paper.loss.name, paper.augment.mixup, paper.ema) == (200, "bce", 0, 0)


@pytest.mark.parametrize(
    ("network", "model", "batch", "shape"),
    [
        ("i3d", "i3d-224", 24, (32, 224)),
        ("resnet3d", "resnet3d50", 96, (16, 112)),
        ("r2plus1d", "r2plus1d50", 64, (16, 112)),
        ("wideresnet3d", "wideresnet3d50", 64, (16, 112)),
    ],
)
def test_a_recipe_is_the_paper_preset_with_its_network(
    network: str, model: str, batch: int, shape: tuple[int, int]
) -> None:
    recipe = settings.load(f"paper-{network}")
    assert (recipe.model, recipe.batch, recipe.clip_shape) == (model, batch, shape)
    same = [
        "data.drop_short=true",
        f"data.batch={batch}",
        f"model={model}",
        f"preset=paper-{network}",
    ]
    assert recipe == settings.load("paper", same)


def test_each_rank_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    third = Ranks(rank=3, world_size=4, local_rank=3)
    for name in ("auto", "cuda"):
        assert own_device(name, third) == torch.device("cuda:3")
        assert own_device(name, Ranks()) == torch.device("cuda:0")
    assert own_device("cuda:1", Ranks()) == torch.device("cuda:1")
    for name, ranks in (("cuda:0", third), ("cuda:4", Ranks()), ("cuda", Ranks(4, 8, 4))):
        with pytest.raises(SettingsError, match="GPU"):
            own_device(name, ranks)


def test_presets_load() -> None:
    paper = [f"paper-{name}" for name in ("i3d", "r2plus1d", "resnet3d", "wideresnet3d")]
    assert settings.presets() == ["demo", "paper", *paper, "strong"]
    for name in settings.presets():
        loaded = settings.load(name)
        assert loaded.preset == name
    assert settings.load("paper").clip_shape == (16, 112)
    with pytest.raises(SettingsError, match=r"optim\.lr"):
        settings.load("paper", overrides=["optim.lr=0"])
    for text in ("3e-4", "3E-4", "3.0e-4", "0.3e-3", "+3e-04", "0.0003"):
        assert settings.load("paper", overrides=[f"optim.lr={text}"]).optim.lr == 3e-4
    with pytest.raises(SettingsError, match="no train preset"):
        settings.load("papr")
