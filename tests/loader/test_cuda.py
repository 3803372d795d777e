"""The CUDA path without CUDA: the kernel through Triton's interpreter, streams by stand-ins."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import tinyvirat_build.loader
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.loader import loader as loader_module
from tinyvirat_build.loader.augment import Augment
from tinyvirat_build.loader.loader import ClipLoader

from .synthetic import Shape, make_pack
from .test_fused import EVERYTHING, in_255ths

triton = pytest.importorskip("triton")
MODULES = ("tinyvirat_build.loader.fused_triton", "tinyvirat_build.loader.feed_cuda")
SHAPES = [
    Shape(3, 10, 21, 1, 0),
    Shape(5, 16, 11, 0, 1, "bt709", "full"),
    Shape(1, 2, 2, 1, 1, labels=(1, 3)),
    Shape(9, 14, 14),
    Shape(2, 12, 6, matrix="bt2020"),
    Shape(30, 8, 16),
    Shape(4, 3, 5),
]


@pytest.fixture
def interpreted(monkeypatch):
    """``feed_cuda`` with its kernel run by the interpreter."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    forget_modules()
    yield importlib.import_module(MODULES[1])
    forget_modules()


def forget_modules():
    for name in MODULES:
        sys.modules.pop(name, None)
        vars(tinyvirat_build.loader).pop(name.rpartition(".")[2], None)


@pytest.mark.parametrize(
    ("augment", "dtype", "last"),
    [
        (None, torch.float32, False),
        (EVERYTHING, torch.float32, True),
        (None, torch.float16, False),
        (None, torch.bfloat16, True),
    ],
)
def test_kernel_equals_the_cpu(tmp_path, interpreted, augment, dtype, last):
    path = make_pack(tmp_path / "p", SHAPES)
    loader = ClipLoader(
        path, "train", 2, 3, 6, batch_size=len(SHAPES), augment=augment, dtype=dtype
    )
    plan = loader._plan(0, 0)
    table = interpreted.Table(len(SHAPES), 2, len(loader.classes), 0)
    host = np.zeros(10**6, np.uint8)
    end = interpreted.fill(host, table, plan, loader._feed.frame_addresses(plan), None)
    buffer = torch.from_numpy(host[:end])
    low_high = torch.tensor([*loader._planner.low, *loader._planner.high])
    layout = torch.channels_last_3d if last else torch.contiguous_format
    clips, labels = interpreted.launch(buffer, buffer, table, low_high, 6, dtype, layout)
    [(wanted, wanted_labels, _)] = loader
    assert torch.equal(labels, wanted_labels)
    assert clips.is_contiguous(memory_format=layout)
    # a float16 or bfloat16 value may fall on the other side of a rounding border
    steps = {torch.float32: 0.02, torch.float16: 0.25, torch.bfloat16: 2.0}
    assert in_255ths(clips, wanted) < steps[dtype]


def test_bytes_moved_are_the_clips_own(tmp_path, interpreted):
    path = make_pack(tmp_path / "p", SHAPES)
    loader = ClipLoader(path, "train", 16, size=9, batch_size=len(SHAPES), training=False)
    plan = loader._plan(0, 0)
    table = interpreted.Table(len(SHAPES), 16, len(loader.classes), 0)
    end = interpreted.fill(
        np.zeros(10**6, np.uint8), table, plan, loader._feed.frame_addresses(plan), None
    )
    own = np.minimum(loader.pack.frames, 16) * loader.pack.nbytes // loader.pack.frames
    assert end == table.nbytes + own.sum()


class FakeStream:
    def __init__(self, *_):
        self.waits = []

    def wait_event(self, event):
        self.waits.append(event)

    def record(self, *_):
        pass

    def synchronize(self):
        pass


@pytest.fixture
def current(interpreted, monkeypatch):
    """The stream that trains, where all streams are stand-ins."""
    current = FakeStream()
    fakes = {
        "Stream": FakeStream,
        "Event": FakeStream,
        "stream": lambda _: contextlib.nullcontext(),
        "device": lambda _: contextlib.nullcontext(),
        "current_stream": lambda _: current,
        "synchronize": lambda _: None,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(interpreted, "pinned_bytes", lambda n: torch.empty(n, dtype=torch.uint8))
    monkeypatch.setattr(interpreted, "BLOCK", 2000)  # several, of several clips each
    return current


@pytest.mark.parametrize("resident", [False, True])
def test_feed_gives_the_batches_of_the_cpu(tmp_path, interpreted, current, resident):
    path = make_pack(tmp_path / "p", SHAPES)
    loader = ClipLoader(
        path, "train", 2, size=5, batch_size=2, augment=Augment(mixup=0.4), channels_last=True
    )
    wanted = list(loader)
    feed = interpreted.CudaFeed(
        loader._planner, loader._clips, 5, resident=resident, dtype=torch.float32,
        device=torch.device("cpu"), batch_size=2, memory_format=torch.channels_last_3d,
    )  # fmt: skip
    got = [feed.finish(feed.prepare(loader._plan(0, batch))) for batch in range(len(loader))]
    assert len(got) == len(wanted) == len(current.waits) == 3
    for (clips, labels, ids), (clips_, labels_, ids_) in zip(got, wanted, strict=True):
        assert ids == ids_
        assert torch.equal(labels, labels_)
        assert in_255ths(clips, clips_) < 0.02
        assert clips.stride() == clips_.stride()
    table = interpreted.Table(2, 2, 4, 1).nbytes
    assert (feed.moved == 3 * table) == resident


def test_several_workers_read_at_once(tmp_path, interpreted, current, monkeypatch):
    path = make_pack(tmp_path / "p", SHAPES)
    loader = ClipLoader(path, "train", 2, size=5, batch_size=2)
    wanted = list(loader)[:2]
    feed = interpreted.CudaFeed(
        loader._planner, loader._clips, 5, resident=False, dtype=torch.float32,
        device=torch.device("cpu"), batch_size=2, workers=2,
    )  # fmt: skip
    both, fill = threading.Barrier(2, timeout=60), interpreted.fill

    def together(*args):
        both.wait()  # broken, unless two are at it
        return fill(*args)

    monkeypatch.setattr(interpreted, "fill", together)
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(feed.prepare, [loader._plan(0, batch) for batch in range(2)]))
    for prepared, (clips, _, ids) in zip(got, wanted, strict=True):
        own = feed.finish(prepared)
        assert own[2] == ids
        assert in_255ths(own[0], clips) < 0.02


def test_a_split_that_does_not_fit_is_one_clear_line(tmp_path, interpreted, monkeypatch):
    path = make_pack(tmp_path / "p", SHAPES)
    monkeypatch.setattr(loader_module, "choose_device", lambda _: torch.device("cuda", 0))
    monkeypatch.setattr(interpreted, "free_bytes", lambda _: 1000)
    with pytest.raises(SettingsError, match=r"cuda:0 has 0.0 free; use mode stream"):
        ClipLoader(path, "train", batch_size=2, device="cuda", mode="resident")


@pytest.mark.parametrize(("mixes", "last"), [(False, False), (True, True)])
def test_kernel_compiles_for_an_h100(mixes, last):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tinyvirat_build.loader import fused_triton

    kinds = {"data": "*u8", "places": "*i64", "ints": "*i32", "floats": "*fp32"}
    kinds |= {"low_high": "*fp32", "mixup": "*fp32", "out": "*bf16"}
    kinds |= dict.fromkeys(("frames", "size", "tile", "mixes", "last"), "constexpr")
    fixed = {(7,): 16, (8,): 112, (9,): 256, (10,): mixes, (11,): last}
    source = ASTSource(fn=fused_triton._kernel, signature=kinds, constexprs=fixed)
    target = GPUTarget("cuda", 90, 32)
    compiled = triton.compile(source, target=target, options={"enable_fp_fusion": True})
    assert compiled.asm["cubin"]


def test_cuda_where_there_is_none_is_one_clear_line(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    path = make_pack(tmp_path / "p", SHAPES)
    with pytest.raises(SettingsError, match="sees no CUDA device; use device cpu"):
        ClipLoader(path, "train", batch_size=2, device="cuda")


@pytest.mark.parametrize(("side", "size", "taps"), [(6, 9, 2), (9, 6, 3), (8, 4, 4)])
def test_no_more_pixels_are_read_than_lie_under_the_triangle(
    tmp_path, interpreted, monkeypatch, side, size, taps
):
    from triton.runtime.interpreter import InterpreterBuilder

    loads = []
    load = InterpreterBuilder.create_masked_load
    monkeypatch.setattr(
        InterpreterBuilder,
        "create_masked_load",
        lambda builder, at, *args: (loads.append(at.data.size), load(builder, at, *args))[1],
    )
    path = make_pack(tmp_path / "p", [Shape(1, side, side)])
    loader = ClipLoader(path, "train", 1, size=size, batch_size=1)
    plan = loader._plan(0, 0)
    table = interpreted.Table(1, 1, len(loader.classes), 0)
    host = np.zeros(10**4, np.uint8)
    end = interpreted.fill(host, table, plan, loader._feed.frame_addresses(plan), None)
    low_high = torch.tensor([*loader._planner.low, *loader._planner.high])
    buffer = torch.from_numpy(host[:end])
    interpreted.launch(buffer, buffer, table, low_high, size, torch.float32)
    pixels = sum(n > 1 for n in loads)  # the others read a number of the clip's
    assert pixels == 3 * taps**2  # of Y, U and V: ceil(2 · support) along either axis


def test_no_compiler_is_one_clear_line(tmp_path, interpreted, monkeypatch):
    monkeypatch.setattr(interpreted, "lacking_to_compile", lambda: "a C compiler (there is none)")
    path = make_pack(tmp_path / "p", SHAPES)
    monkeypatch.setattr(loader_module, "choose_device", lambda _: torch.device("cuda", 0))
    monkeypatch.setattr(interpreted, "free_bytes", lambda _: 1000)
    with pytest.raises(SettingsError, match="the loader on CUDA needs a C compiler"):
        ClipLoader(path, "train", batch_size=2, device="cuda", mode="stream")
