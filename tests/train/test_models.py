"""Models against the stored references: names, shapes, parameter counts, logits in float64."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build.errors import SettingsError  # noqa: E402
from tinyvirat_build.train import models  # noqa: E402

FAST = ["resnet3d18", "r2plus1d18", "r2plus1d50", "i3d-112"]
SLOW = [
    "i3d-224",
    "r2plus1d50-nopool",
    "resnet3d18-nopool",
    "resnet3d50-nopool",
    "wideresnet3d50",
]


def fill(model: torch.nn.Module) -> None:
    """Known weights: each tensor from a generator seeded by its own name."""
    for name, tensor in model.state_dict().items():
        random = np.random.RandomState(zlib.crc32(name.encode()))
        shape = tuple(tensor.shape)
        if not tensor.is_floating_point():
            values = np.zeros(shape)
        elif len(shape) >= 2:
            values = random.uniform(-1, 1, shape) * np.sqrt(6 / np.prod(shape[1:]))
        elif name.endswith(("running_var", "weight")):
            values = random.uniform(0.5, 1.5, shape)
        else:
            values = random.uniform(-0.1, 0.1, shape)
        tensor.copy_(torch.from_numpy(np.asarray(values)))


def reference(shared: Path, name: str) -> dict:
    return json.loads((shared / "reference" / "models" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", FAST + SLOW)
def test_names_shapes_and_parameters(shared: Path, name: str) -> None:
    known = reference(shared, name)
    with torch.device("meta"):
        model = models.build(name, 26)
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == known["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == known["parameters"]


@pytest.mark.parametrize("name", FAST + [pytest.param(n, marks=pytest.mark.slow) for n in SLOW])
@torch.no_grad()
def test_logits(shared: Path, name: str) -> None:
    known = reference(shared, name)
    model = models.build(name, 26).double().eval()
    fill(model)
    x = torch.from_numpy(np.random.RandomState(0).standard_normal(known["input_shape"]))
    over_time = getattr(model, "frame_logits", lambda clips: model(clips)[:, :, None])
    logits = over_time(x)[0].numpy()
    np.testing.assert_allclose(logits, known["logits"], rtol=1e-6)
    np.testing.assert_allclose(model(x)[0].numpy(), logits.max(axis=1), rtol=1e-12)


@torch.no_grad()
def test_the_logits_of_i3d_are_the_maximum_over_time() -> None:
    torch.manual_seed(0)
    model = models.build("i3d-224", 5).eval()
    x = torch.randn(2, 3, 24, 32, 32)
    over_time = model.frame_logits(x)
    assert over_time.shape == (2, 5, 2)
    assert torch.equal(model(x), over_time.max(dim=2).values)


@pytest.mark.parametrize("name", sorted(models.NAMES))
@torch.no_grad()
def test_every_model_takes_its_own_input_and_any_number_of_classes(name: str) -> None:
    arch = models.architecture(name)
    with torch.device("meta"):
        model = models.build(name, 7)
        clips = torch.empty(2, 3, arch.frames, arch.size, arch.size)
        assert model(clips).shape == (2, 7)
    assert any(key.startswith(arch.head) for key in model.state_dict())


def test_pool_changes_no_name() -> None:
    with torch.device("meta"):
        for name in ("resnet3d18", "resnet3d50", "r2plus1d18", "r2plus1d50"):
            plain, nopool = models.build(name, 26), models.build(f"{name}-nopool", 26)
            assert list(plain.state_dict()) == list(nopool.state_dict())


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean resnet3d18"):
        models.build("resnet3d-18", 26)
