"""What PyTorch is told while a run is at work, and what is refused; no GPU is needed to ask."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build.errors import TrainError  # noqa: E402
from tinyvirat_build.train import settings  # noqa: E402
from tinyvirat_build.train.numerics import numerics  # noqa: E402

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def flags() -> tuple[Any, ...]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    deterministic = torch.are_deterministic_algorithms_enabled()
    return cudnn.benchmark, deterministic, cudnn.allow_tf32, matmul.allow_tf32


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("tf32", [False, True])
def test_flags_are_those_of_the_settings_and_then_as_before(
    *, deterministic: bool, tf32: bool
) -> None:
    before = flags()
    s = settings.load("paper", [f"deterministic={deterministic}", f"tf32={tf32}"])
    with numerics(s, CUDA):
        assert flags() == (not deterministic, deterministic, tf32, tf32)
    assert flags() == before
    with pytest.raises(ValueError, match="other"), numerics(s, CUDA):
        raise ValueError("other")
    assert flags() == before


@pytest.mark.parametrize(
    ("version", "refused"), [("2.9.1+cu128", True), ("2.8.0", False), ("2.10.0", False)]
)
def test_bf16_on_cuda_by_a_version_that_cannot(
    monkeypatch: pytest.MonkeyPatch, version: str, *, refused: bool
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: False)
    bf16, fp32 = (settings.load("paper", [f"precision={p}"]) for p in ("bf16", "fp32"))
    for s, device in ((fp32, CUDA), (bf16, CPU)):
        with numerics(s, device):
            pass
    if refused:
        with pytest.raises(TrainError, match=r"2\.9\.1.*set precision=fp32"), numerics(bf16, CUDA):
            pass
    else:
        with numerics(bf16, CUDA):
            pass


@pytest.mark.parametrize(
    ("version", "named"),
    [(90701, None), (90800, "9.8.0"), (91002, "9.10.2"), (91401, "9.14.1"), (91500, None)]
    + [(8907, None), (None, None)],
)
def test_bf16_on_cuda_by_a_cudnn_that_cannot(
    monkeypatch: pytest.MonkeyPatch, version: int | None, named: str | None
) -> None:
    monkeypatch.setattr(torch, "__version__", "2.8.0")
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: version is not None)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    bf16, fp32 = (settings.load("paper", [f"precision={p}"]) for p in ("bf16", "fp32"))
    for s, device in ((fp32, CUDA), (bf16, CPU)):
        with numerics(s, device):
            pass
    if named is None:
        with numerics(bf16, CUDA):
            return
    with (
        pytest.raises(TrainError, match=rf"cuDNN {named}: .*9\.15.*precision=fp32") as told,
        numerics(bf16, CUDA),
    ):
        pass
    assert "\n" not in str(told.value)


def test_what_has_no_deterministic_form_is_one_line_with_the_remedy() -> None:
    s = settings.load("paper", ["deterministic=true"])
    with (
        pytest.raises(TrainError, match=r"\(put_\); set deterministic=false.*-nopool") as told,
        numerics(s, CPU),
    ):
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))  # has none, on the CPU too
    assert "\n" not in str(told.value)
    with pytest.raises(RuntimeError, match="mine") as other, numerics(s, CPU):
        raise RuntimeError("mine")
    assert not isinstance(other.value, TrainError)


def test_a_run_of_before_the_setting_goes_on_with_its_default() -> None:
    old = settings.load("paper").to_dict()
    del old["tf32"]
    assert not settings.forbidden(old, settings.load("paper"))
    assert settings.forbidden(old, settings.load("paper", ["tf32=false"])) == [
        "tf32=False (was True)"
    ]
