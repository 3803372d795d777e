"""The loader: order, ranks, restarts, sampling, memory."""

from __future__ import annotations

import gc
import json
from collections import Counter

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.errors import PackError, SettingsError
from tinyvirat_build.loader import fused_cpu, sampling
from tinyvirat_build.loader.augment import Augment
from tinyvirat_build.loader.feeds import BufferPool
from tinyvirat_build.loader.loader import ClipLoader

from .synthetic import Shape, make_pack

SPLITS = {"train": 23, "val": 13, "test": 1}
OPTIONS = {"frames": 2, "size": 4, "batch_size": 4}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    rng = np.random.default_rng(0)
    shapes = [
        Shape(
            frames=int(rng.integers(1, 9)),
            height=int(rng.integers(2, 20)),
            width=int(rng.integers(2, 20)),
            split=split,
            labels=None if split == "test" else (int(rng.integers(4)),),
        )
        for split, count in SPLITS.items()
        for _ in range(count)
    ]
    return make_pack(tmp_path_factory.mktemp("loader") / "pack", shapes)


def equal(a, b):
    return len(a) == len(b) and all(
        torch.equal(x[0], y[0]) and torch.equal(x[1], y[1]) and x[2] == y[2]
        for x, y in zip(a, b, strict=True)
    )


def test_batches_have_the_shapes_that_are_promised(pack):
    loader = ClipLoader(pack, "train", 16, size=12, batch_size=5)
    batches = list(loader)
    assert len(batches) == len(loader) == 23 // 5
    for clips, labels, ids in batches:
        assert clips.shape == (5, 3, 16, 12, 12)
        assert clips.dtype == torch.float32
        assert clips.is_contiguous()
        assert labels.shape == (5, 4)
        assert labels.dtype == torch.float32
        assert len(ids) == 5
    by_id = dict(zip(loader.pack.id[:23], loader.pack.labels[:23].tolist(), strict=True))
    assert all(
        by_id[i] == row
        for _, labels, ids in batches
        for i, row in zip(ids, labels.tolist(), strict=True)
    )


def test_epochs_differ_and_come_again(pack):
    loader = ClipLoader(pack, "train", augment=Augment(), **OPTIONS)
    first, second = list(loader), list(loader)
    assert loader.epoch == 2
    assert [b[2] for b in first] != [b[2] for b in second]
    loader.set_epoch(0)
    assert equal(list(loader), first)
    other = ClipLoader(pack, "train", augment=Augment(), seed=1, **OPTIONS)
    assert [b[2] for b in other] != [b[2] for b in first]


@pytest.mark.parametrize("options", [{"workers": 3}, {"mode": "resident"}])
def test_batches_do_not_depend_on_how_they_are_made(pack, options):
    augment = Augment(jitter=2, mixup=0.3)
    plain = ClipLoader(pack, "train", augment=augment, **OPTIONS)
    assert equal(
        list(ClipLoader(pack, "train", augment=augment, **OPTIONS, **options)), list(plain)
    )


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
def test_ranks_share_the_batches_of_one(pack, sampler):
    augment = Augment(mixup=0.5)
    one = list(ClipLoader(pack, "train", 2, size=4, batch_size=8, augment=augment, sampler=sampler))
    ranks = [
        list(
            ClipLoader(
                pack, "train", 2, size=4, batch_size=4, augment=augment, sampler=sampler,
                rank=r, world_size=2,
            )
        )
        for r in (0, 1)
    ]  # fmt: skip
    joined = [
        (torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]), a[2] + b[2])
        for a, b in zip(*ranks, strict=True)
    ]
    assert equal(joined, one)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_every_position_falls_to_one_rank(items, world_size, batch_size, drop_last):
    batches = sampling.global_batches(items, world_size, batch_size, drop_last=drop_last)
    seen = Counter(
        p
        for batch in range(batches)
        for rank in range(world_size)
        for p in range(
            *sampling.rank_slice(items, batch, rank, world_size, batch_size, drop_last=drop_last)
        )
    )
    kept = items - items % (world_size * batch_size) if drop_last else items
    assert seen == Counter(range(kept))


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_state_continues_with_the_very_next_batch(pack, stop):
    augment = Augment()
    whole = ClipLoader(pack, "train", augment=augment, **OPTIONS)
    whole.set_epoch(3)
    wanted = list(whole)
    begun = ClipLoader(pack, "train", augment=augment, **OPTIONS)
    begun.set_epoch(3)
    batches = iter(begun)
    for _ in range(stop):
        next(batches)
    state = json.loads(json.dumps(begun.state_dict()))
    batches.close()
    restored = ClipLoader(pack, "train", augment=augment, **OPTIONS)
    restored.load_state_dict(state)
    restored.set_epoch(3)
    assert equal(list(restored), wanted[stop:])
    assert len(list(restored)) == len(wanted)
    two = ClipLoader(pack, "train", 2, size=4, batch_size=2, augment=augment, rank=1, world_size=2)
    two.load_state_dict(state)
    assert [b[2] for b in two] == [b[2][2:] for b in wanted[stop:]]


def test_state_after_the_last_batch_is_the_next_epoch(pack):
    loader = ClipLoader(pack, "train", **OPTIONS)
    for _ in loader:
        state = loader.state_dict()
    assert (state["epoch"], state["samples"]) == (1, 0)


def test_broken_off_epoch_begins_again(pack):
    loader = ClipLoader(pack, "val", **OPTIONS)
    next(iter(loader))
    assert [i for *_, ids in loader for i in ids] == [f"{i:05d}" for i in range(13)]


def test_state_of_another_run_is_refused(pack):
    loader = ClipLoader(pack, "train", **OPTIONS)
    own = loader.state_dict()
    for change, message in [
        ({"seed": 5}, "loader state of seed 5, loader has seed 0"),
        ({"split": "val"}, "loader state of split val"),
        ({"sampler": "balanced"}, "loader state of sampler balanced, loader has sampler shuffled"),
        ({"version": 1}, "loader state of version 1"),
        ({"samples": 6}, "after 6 samples is no multiple of the global batch 4"),
        ({"samples": -4}, "damaged"),
        ({"samples": 4000}, "an epoch has 23"),
    ]:
        with pytest.raises(SettingsError, match=message):
            loader.load_state_dict(own | change)
    with pytest.raises(SettingsError, match="loader state of version None"):
        loader.load_state_dict({})


def test_clips_without_labels_are_not_trained_on(tmp_path):
    shapes = [Shape(4, 8, 8), Shape(4, 8, 8, labels=None), Shape(4, 8, 8, labels=None)]
    path = make_pack(tmp_path / "bare", shapes)
    with pytest.raises(SettingsError, match="2 of the 3 clips of split train have no labels"):
        ClipLoader(path, "train", 2, size=4, batch_size=1)
    assert len(ClipLoader(path, "train", 2, size=4, batch_size=1, training=False)) == 3


def test_short_clips_are_left_out_where_asked_for_and_counted(tmp_path):
    shapes = [Shape(n, 8, 8, split=s) for s in ("train", "val") for n in (7, 8, 3, 9, 20)]
    path = make_pack(tmp_path / "p", shapes)
    options = {"frames": 4, "stride": 2, "size": 4, "batch_size": 1}  # seven frames from end to end
    loader = ClipLoader(path, "train", drop_short=True, **options)
    assert (loader.dropped, loader.items) == (1, 4)
    assert {i for *_, ids in loader for i in ids} == {f"{i:05d}" for i in (0, 1, 3, 4)}
    assert ClipLoader(path, "train", **options).items == 5
    assert ClipLoader(path, "val", drop_short=True, **options).items == 5  # each has its score
    with pytest.raises(SettingsError, match="has 4 clips beside 1 that are too short, fewer than"):
        ClipLoader(path, "train", drop_short=True, **{**options, "batch_size": 5})


@pytest.mark.parametrize("temporal", ["uniform", "segments"])
def test_what_is_spread_over_the_clip_needs_a_frame_each_whatever_the_stride(tmp_path, temporal):
    path = make_pack(tmp_path / "p", [Shape(n, 8, 8) for n in (3, 4, 5, 20)])
    loader = ClipLoader(
        path, "train", 4, 8, size=4, batch_size=1, temporal=temporal, drop_short=True
    )
    assert loader.dropped == 1
    assert sorted(i for *_, ids in loader for i in ids) == ["00001", "00002", "00003"]


def test_dense_windows_cover_every_frame_of_every_clip(pack):
    loader = ClipLoader(pack, "val", 3, size=4, batch_size=5, temporal="dense")
    seen = {}
    for batch in range(len(loader)):
        plan = loader._plan(0, batch)
        for clip, frames in zip(plan.clips, plan.frames, strict=True):
            seen.setdefault(int(clip), set()).update(frames.tolist())
    assert {c: len(f) for c, f in seen.items()} == {
        int(c): int(loader.pack.frames[c]) for c in loader.pack.of_split("val")
    }
    assert sum(len(ids) for *_, ids in loader) == loader.items


lengths = st.lists(st.integers(1, 200), min_size=1, max_size=5).map(np.array)


@settings(max_examples=60, deadline=None)
@given(
    lengths, st.integers(1, 20), st.integers(1, 6), st.integers(0, 9), st.integers(0, 99),
    st.sampled_from(["random", "center", "uniform"]), st.sampled_from(["loop", "pad"]),
)  # fmt: skip
def test_frames_lie_in_the_clip_and_keep_the_stride(
    n, frames, stride, jitter, seed, temporal, short
):
    u = sampling.uniform(seed, 0, range(len(n)), range(frames + 1))
    moves = np.round((2 * u[:, 1:] - 1) * jitter).astype(np.int64)
    options = {"temporal": temporal, "short": short, "draws": u[:, 0]}
    plain = sampling.frame_indices(n, frames, stride, **options)
    moved = sampling.frame_indices(n, frames, stride, **options, jitter=moves)
    for found in (plain, moved):
        assert found.shape == (len(n), frames)
        assert ((found >= 0) & (found < n[:, None])).all()
    assert (np.abs(moved - plain) <= jitter).all()
    whole = (n >= sampling.span_of(frames, stride)) | (temporal == "uniform") | (short == "pad")
    assert (np.diff(moved[whole], axis=1) >= 0).all()  # jittered, never shown backwards
    if temporal != "uniform":
        long = n >= sampling.span_of(frames, stride)
        assert (np.diff(plain[long], axis=1) == stride).all()
    else:
        assert (np.diff(plain, axis=1) >= 0).all()


def test_random_starts_reach_both_ends_alike():
    u = sampling.uniform(7, 1, range(30000), [sampling.START])[:, 0]
    starts = sampling.frame_indices(np.full(30000, 20), 16, 1, temporal="random", draws=u)[:, 0]
    counts = np.bincount(starts, minlength=5)
    assert len(counts) == 5
    assert counts.min() > 5700


def test_random_numbers_are_uniform_and_unrelated():
    u = sampling.uniform(3, 9, range(20000), range(6))
    assert np.abs(u.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(u.T) - np.eye(6)).max() < 0.03
    neighbours = [sampling.uniform(3, e, range(20000), [0])[:, 0] for e in (9, 10)]
    assert abs(np.corrcoef(neighbours)[0, 1]) < 0.03


def test_balanced_sampler_draws_by_inverse_square_root():
    labels = np.zeros((1000, 2), np.uint8)
    labels[:900, 0] = labels[900:, 1] = 1
    drawn = np.concatenate([sampling.balanced(labels, 0, e) for e in range(30)])
    share = (drawn >= 900).mean()
    assert share == pytest.approx(1 / 4, abs=0.01)  # sqrt(100) against sqrt(900)


def test_mixup_mixes_neighbours():
    clips = np.arange(8, dtype=np.float32).reshape(4, 2)
    fused_cpu.mix(clips, np.array([0.75, 1.0], np.float32))
    assert clips.tolist() == [[0.5, 1.5], [1.5, 2.5], [4, 5], [6, 7]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_mixed_is_rounded_once(pack, dtype):
    augment = Augment(mixup=0.5)
    exact, rounded = (
        list(ClipLoader(pack, "train", augment=augment, dtype=d, **OPTIONS))
        for d in (torch.float32, dtype)
    )
    assert equal([(c.to(dtype), *rest) for c, *rest in exact], rounded)


def test_mixed_labels_are_shares_of_their_clips(pack):
    plain, mixed = (
        ClipLoader(pack, "train", augment=Augment(mixup=m), **OPTIONS)._plan(0, 0) for m in (0, 0.5)
    )
    assert mixed.clips.tolist() == plain.clips.tolist()
    own, other = plain.labels, plain.labels.reshape(-1, 2, 4)[:, ::-1].reshape(-1, 4)
    keep = np.repeat(mixed.mixup, 2)[:, None]
    np.testing.assert_allclose(mixed.labels, keep * own + (1 - keep) * other, rtol=1e-6)
    assert ((mixed.labels > 0) & (mixed.labels < 1)).any()


def test_ragged_batches_are_the_packs_bytes(pack):
    loader = ClipLoader(pack, "val", 3, size=4, batch_size=5)
    for batch in loader.ragged():
        data = batch.data.numpy()
        for i, clip_id in enumerate(batch.ids):
            [clip] = np.flatnonzero((loader.pack.id == clip_id) & (loader.pack.split == "val"))
            height, width = batch.geometry[i, :2]
            size = height * width * 3 // 2
            frames = loader.pack.raw(clip).reshape(-1, size)
            start = max((len(frames) - 3) // 2, 0)
            for t, place in enumerate(batch.places[i]):
                wanted = frames[(start + t) % len(frames)]
                np.testing.assert_array_equal(data[place : place + size], wanted)
    assert len({i for b in loader.ragged() for i in b.ids}) == SPLITS["val"]


def test_ragged_batches_have_the_labels_of_what_they_show(tmp_path):
    shapes = [Shape(3, 8, 8, labels=(0,)) for _ in range(8)]
    folder = make_pack(tmp_path / "pack", shapes, classes=("turning_left", "turning_right"))
    [batch] = ClipLoader(folder, "train", 2, batch_size=8, augment=Augment(flip=1)).ragged()
    assert batch.labels.tolist() == [[1, 0]] * 8


def test_a_side_without_its_other_side_is_not_mirrored(tmp_path):
    shapes = [Shape(1, 8, 8, labels=(i % 2,)) for i in range(8)]
    folder = make_pack(tmp_path / "pack", shapes, classes=("turning_left", "walk"))
    plain, flipped = (
        next(iter(ClipLoader(folder, "train", 1, size=8, batch_size=8, augment=augment)))
        for augment in (None, Augment((1, 1), (1, 1), 1.0, 0, 0, 0, 0, 0, 0, 0))
    )
    assert plain[1].tolist() == flipped[1].tolist()
    left = plain[1][:, 0] > 0
    assert torch.equal(plain[0][left], flipped[0][left])
    assert torch.allclose(plain[0][~left].flip(-1), flipped[0][~left], atol=1e-5)


def test_clips_without_labels_have_zeros(pack):
    [(clips, labels, ids)] = ClipLoader(pack, "test", **OPTIONS)
    assert ids == ["00000"]
    assert not labels.any()
    assert len(clips) == 1


def test_a_batch_that_is_kept_is_not_overwritten(pack):
    loader = ClipLoader(pack, "train", **OPTIONS)
    kept = list(loader)
    copies = [(c.clone(), labels.clone(), ids) for c, labels, ids in kept]
    list(loader)
    assert equal(kept, copies)


def test_buffers_come_back_when_the_last_view_goes():
    pool = BufferPool()
    array = pool.take((4, 4), np.float32)
    address = array.ctypes.data
    view = torch.from_numpy(array)[1:]
    del array
    gc.collect()
    assert pool.take((4, 4), np.float32).ctypes.data != address
    del view
    gc.collect()
    other = pool.take((2, 8), np.int16)
    assert {other.ctypes.data, pool.take((4, 4), np.float32).ctypes.data} >= {address}
    many = [pool.take((4, 4), np.float32) for _ in range(50)]
    del many, other
    assert len(pool._free) < 10  # memory of a whole epoch is not kept


def test_a_buffer_in_a_cycle_comes_back_while_another_is_taken():
    """The collector runs where it likes, in the middle of ``take`` too; this hung."""
    pool = BufferPool()
    before = gc.get_threshold()
    try:
        for threshold in range(2, 60):
            gc.set_threshold(threshold)
            for _ in range(50):
                cycle = [pool.take((4, 4), np.float32)]
                cycle.append(cycle)
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "no clip of split 'dev'; splits in it: train, val, test"),
        ({"batch_size": 24}, "split train has 23 clips, fewer than one batch of 24"),
        ({"rank": 2, "world_size": 2}, "rank 2 of world_size 2"),
        ({"rank": 1}, "give both"),
        ({"device": "toaster"}, "no device 'toaster'"),
        ({"device": "meta"}, "device meta is not supported"),
        ({"frames": 0}, "frames, stride and size are 1 or more"),
        ({"temporal": "bogus"}, "temporal is one of random, center, uniform, segments, dense"),
        ({"short": "bogus"}, "short is one of loop, pad"),
        ({"sampler": "bogus"}, "no sampler 'bogus'"),
        ({"mean": (0.5,)}, "mean and std are three numbers each"),
        ({"std": (0.0, 1.0, 1.0)}, "std is above 0"),
        ({"dtype": torch.float64}, "dtype is float32, bfloat16 or float16"),
        ({"mode": "fast"}, "mode is auto, stream or resident"),
        ({"batch_size": 3, "augment": Augment(mixup=1)}, "needs an even batch_size"),
    ],
)
def test_wrong_arguments_are_one_clear_line(pack, options, message):
    with pytest.raises((SettingsError, PackError), match=message) as caught:
        ClipLoader(pack, **({"split": "train", "batch_size": 4} | options))
    assert "\n" not in str(caught.value)


def test_two_processes_see_every_clip_once_and_resume(pack, monkeypatch):
    """Each is told its rank by the process group alone."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    options = {"frames": 2, "size": 4, "batch_size": 4}
    seen = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        train = ClipLoader(pack, "train", **options)
        assert (train.rank, train.world_size) == (rank, 2)
        batches = [next(iter(train))[2]]
        again = ClipLoader(pack, "train", **options)
        again.load_state_dict(json.loads(json.dumps(train.state_dict())))
        batches += [ids for *_, ids in again]
        val = [i for *_, ids in ClipLoader(pack, "val", **options) for i in ids]
        seen.append((val, batches))
    assert Counter(i for val, _ in seen for i in val) == Counter(f"{i:05d}" for i in range(13))
    joined = [a + b for a, b in zip(seen[0][1], seen[1][1], strict=True)]
    whole = ClipLoader(pack, "train", 2, size=4, batch_size=8, rank=0, world_size=1)
    assert joined == [b[2] for b in whole]
    assert len(joined) == 2
    assert max(Counter(i for ids in joined for i in ids).values()) == 1


def test_memory_is_flat_over_epochs(tmp_path):
    path = make_pack(tmp_path / "p", [Shape(8, 32, 32) for _ in range(40)])
    loader = ClipLoader(path, "train", 8, size=64, batch_size=8, augment=Augment())
    process = psutil.Process()

    def epochs(count):
        for _ in range(count):
            for _ in loader:
                pass
        return process.memory_info().rss

    before = epochs(4)
    batch = 8 * 3 * 8 * 64 * 64 * 4
    assert epochs(20) - before < 4 * batch  # of the 100 that went through


def test_first_batch_of_a_large_pack_reads_little(tmp_path):
    path = make_pack(tmp_path / "p", [Shape(60, 70, 70)] * 26000, sparse=True)
    loader = ClipLoader(path, "train", batch_size=8)
    process = psutil.Process()
    before = process.memory_info().rss
    clips, _, _ = next(iter(loader))
    assert clips.shape[0] == 8
    assert loader.pack.nbytes.sum() > 11e9
    assert process.memory_info().rss - before < 500e6  # what is mapped is not read


def test_segments_draw_one_frame_of_each_part_of_the_clip() -> None:
    """Every frame as often as any other, each inside its own segment (TSN)."""
    n = np.full(20000, 12)
    u = sampling.start_draws("segments", 4, 3, 1, range(20000))
    found = sampling.frame_indices(n, 4, 9, temporal="segments", draws=u)
    assert (found // 3 == np.arange(4)).all()
    assert np.abs(np.bincount(found.ravel()) / 20000 - 1 / 3).max() < 0.02
    lengths = np.arange(1, 40)
    for draws in (np.zeros((39, 5)), np.full((39, 5), 1 - 2**-53)):
        found = sampling.frame_indices(lengths, 5, 1, temporal="segments", draws=draws)
        assert (found >= 0).all()
        assert (found < lengths[:, None]).all()
        assert (np.diff(found, axis=1) >= 0).all()
