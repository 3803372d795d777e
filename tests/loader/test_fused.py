"""The fused step, compiled for the CPU and as a Triton kernel, against the slow reference."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from tinyvirat_build.loader import augment as aug
from tinyvirat_build.loader import fused_cpu
from tinyvirat_build.loader.augment import Augment
from tinyvirat_build.loader.loader import ClipLoader
from tinyvirat_build.pack.read import MATRICES, RANGES

from . import reference
from .synthetic import Shape, make_pack

sides = st.integers(2, 128)
shapes = st.builds(
    Shape,
    frames=st.integers(1, 5),
    height=sides,
    width=sides,
    dy=st.integers(0, 1),
    dx=st.integers(0, 1),
    matrix=st.sampled_from(list(MATRICES)),
    range=st.sampled_from(RANGES),
)
EVERYTHING = Augment(
    scale=(0.05, 1), ratio=(0.5, 2), flip=0.5, jitter=1, brightness=0.5, contrast=0.5,
    saturation=1, hue=0.5, grayscale=0.2,
)  # fmt: skip


def expected(loader: ClipLoader) -> torch.Tensor:
    """The loader's next batch by the reference; plans are taken from the loader's planner."""
    plan = loader._plan(loader.epoch, 0)
    begin, end = loader._slice(loader.epoch, 0)
    positions = np.arange(begin, end)
    drawn = aug.draw_colour(loader._planner.augment, loader.seed, loader.epoch, positions)
    batch = []
    for i, clip in enumerate(plan.clips):
        look = reference.Look(
            *(float(v) for v in plan.box[i]),
            bool(plan.flip[i]),
            *(float(v[i]) for v in (drawn.brightness, drawn.contrast, drawn.saturation)),
            float(drawn.hue[i]),
            loader.pack.matrix[clip],
            loader.pack.range[clip],
            aug.IMAGENET_MEAN,
            aug.IMAGENET_STD,
        )
        frames = plan.frames[i].tolist()
        batch.append(reference.fused(loader.pack.yuv444(clip), frames, loader.size, look))
    return torch.tensor(np.stack(batch))


def in_255ths(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, in steps of 1/255 before the normalisation."""
    std = torch.tensor(aug.IMAGENET_STD, dtype=torch.float64).view(3, 1, 1, 1)
    return float(((a.double() - b.double()) * std).abs().max() * 255)


@settings(max_examples=30, deadline=None)
@given(
    clips=st.lists(shapes, min_size=1, max_size=2),
    size=st.integers(1, 14),
    seed=st.integers(0, 2**32),
    augment=st.sampled_from([None, EVERYTHING]),
    mode=st.sampled_from(["stream", "resident"]),
)
def test_batch_equals_the_reference(clips, size, seed, augment, mode):
    with tempfile.TemporaryDirectory() as folder:
        path = make_pack(Path(folder) / "pack", clips, seed=seed % 1000)
        loader = ClipLoader(
            path, "train", 3, 2, size, batch_size=len(clips), augment=augment, seed=seed, mode=mode
        )
        wanted = expected(loader)
        [(batch, _, _)] = loader
    assert batch.shape == (len(clips), 3, 3, size, size)
    assert in_255ths(batch, wanted) < 0.05


def test_whole_window_at_its_own_size_is_the_plain_conversion(tmp_path):
    path = make_pack(tmp_path / "p", [Shape(4, 24, 24)])
    [(batch, _, _)] = ClipLoader(
        path, "train", 4, size=24, batch_size=1, mean=(0, 0, 0), std=(1,) * 3
    )
    yuv = ClipLoader(path, "train", batch_size=1).pack.yuv444(0).astype(float)
    rgb = np.array(
        [reference.to_rgb(*p, "bt601", "limited") for p in yuv.transpose(0, 2, 3, 1).reshape(-1, 3)]
    )
    wanted = rgb.clip(0, 1).reshape(4, 24, 24, 3).transpose(3, 0, 1, 2)
    np.testing.assert_allclose(batch[0].numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("size", [20, 64, 112])
def test_scaling_is_that_of_torch_with_antialias(tmp_path, size):
    path = make_pack(tmp_path / "p", [Shape(2, 64, 64)])
    loader = ClipLoader(path, "train", 2, size=size, batch_size=1, mean=(0, 0, 0), std=(1,) * 3)
    loader.pack.map_shard(0)
    [(batch, _, _)] = loader
    yuv = torch.tensor(loader.pack.yuv444(0)).double()
    scaled = torch.nn.functional.interpolate(yuv, (size, size), mode="bilinear", antialias=True)
    to_rgb = torch.tensor(aug.yuv_to_rgb("bt601", "limited"))[:3]
    rgb = torch.einsum("cd,tdhw->cthw", to_rgb[:, :3], scaled) + to_rgb[:, 3].view(3, 1, 1, 1)
    torch.testing.assert_close(batch[0].double(), rgb.clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_any_type_and_layout_is_the_plain_batch_cast(tmp_path, dtype, mixup, last):
    path = make_pack(tmp_path / "p", [Shape(5, 31, 50, 1), Shape(3, 14, 14)])
    kinds = {"augment": Augment(mixup=mixup), "size": 16, "batch_size": 2}
    [(plain, _, _)] = ClipLoader(path, "train", 4, **kinds)
    [(clips, _, _)] = ClipLoader(path, "train", 4, dtype=dtype, channels_last=last, **kinds)
    assert clips.dtype == dtype
    layout = torch.channels_last_3d if last else torch.contiguous_format
    assert clips.stride() == plain.contiguous(memory_format=layout).stride()
    assert torch.equal(clips, plain.to(dtype))


def test_without_a_folder_for_a_cache_it_is_compiled_all_the_same(monkeypatch):
    def refuse(self):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(Dispatcher, "enable_caching", refuse)
    assert fused_cpu._compiled(lambda x: x + 1)(1) == 2
