"""The audits against slow, obvious ones, and on corpora made to fail them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.audit import (
    audit,
    completeness,
    duplicates,
    lost_frames,
    missing_pairs,
    render,
    shared,
    shares,
    short_or_held,
    sights,
    unmapped_names,
)
from tinyvirat_build.audit.duplicates import MAX_DISTANCE, hash_frames, near_pairs
from tinyvirat_build.records import (
    KEYS,
    Balance,
    Issue,
    balance_frame,
    columns,
    empty,
    issues_frame,
)
from tinyvirat_build.video.frames import frames_at, packed_luma

TARGETS = (0.64, 0.13, 0.23)
LABELS = [("a",), ("b",), ("a", "b"), ()]

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def keyed(rows: list[dict[str, object]], table: str) -> pd.DataFrame:
    keys = {"source": "s", "video_id": "v", "annotation_set": "x"}
    return pd.DataFrame([keys | row for row in rows], columns=columns(table))


def activity(i: int, labels: tuple[str, ...], start: int, end: int) -> dict[str, object]:
    return {
        "activity_id": str(i), "name": f"name{i}", "labels": labels, "start": start, "end": end,
        "actors": (str(i),), "status": "", "file_order": i,
    }  # fmt: skip


def boxes_of(
    i: int, frames: range, corners: list[tuple[int, int, int, int]]
) -> list[dict[str, object]]:
    return [
        {"actor_id": str(i), "frame": t, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "keyframe": True}
        for t, (x1, y1, x2, y2) in zip(frames, corners, strict=True)
    ]  # fmt: skip


@st.composite
def scenes(draw: st.DrawFn) -> Tables:
    """Some activities with moving boxes and some clips with moving windows, in a small picture."""
    activities, boxes, clips = [], [], []
    for i in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, 6))
        span = range(start, start + draw(st.integers(1, 6)))
        corners = [
            (x, y, x + draw(st.integers(0, 6)), y + draw(st.integers(1, 6)))
            for x, y in (draw(st.tuples(st.integers(0, 12), st.integers(0, 12))) for _ in span)
        ]
        activities.append(activity(i, draw(st.sampled_from(LABELS)), span.start, span.stop))
        boxes += boxes_of(i, span, corners)
    for i in range(draw(st.integers(1, 4))):
        start, n = draw(st.integers(0, 6)), draw(st.integers(1, 6))
        place = st.lists(st.integers(-2, 12), min_size=n, max_size=n)
        side = draw(st.integers(2, 10))
        clips.append(
            {"clip_id": str(i), "start": start, "end": start + n, "width": side, "height": side,
             "x": draw(place), "y": draw(place), "split": "train", "group": "g",
             "labels": draw(st.sampled_from(LABELS[:3]))}
        )  # fmt: skip
    return keyed(clips, "clips_filtered"), keyed(activities, "activities"), keyed(boxes, "boxes")


def slow(
    clips: pd.DataFrame, activities: pd.DataFrame, boxes: pd.DataFrame
) -> list[dict[str, set[int]]]:
    """Which activities are seen in each clip and when, one frame and one box at a time."""
    seen = []
    for clip in clips.to_dict("records"):
        inside: dict[str, set[int]] = {}
        for one in activities.to_dict("records"):
            for box in boxes[boxes["actor_id"] == one["activity_id"]].to_dict("records"):
                t = box["frame"] - clip["start"]
                if not 0 <= t < clip["end"] - clip["start"]:
                    continue
                if not one["start"] <= box["frame"] < one["end"]:
                    continue
                x, y = clip["x"][t], clip["y"][t]
                width = min(box["x2"], x + clip["width"]) - max(box["x1"], x)
                height = min(box["y2"], y + clip["height"]) - max(box["y1"], y)
                area = (box["x2"] - box["x1"]) * (box["y2"] - box["y1"])
                if area > 0 and max(width, 0) * max(height, 0) >= area / 2:
                    inside.setdefault(one["activity_id"], set()).add(t)
        seen.append(inside)
    return seen


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_completeness_against_the_definition(tables: Tables) -> None:
    clips, activities, _ = tables
    labels = dict(zip(activities["activity_id"], activities["labels"], strict=True))
    used = {label for own in clips["labels"] for label in own}
    table = completeness(*tables)
    for seen, sight, clip, row in zip(
        slow(*tables), sights(*tables), clips.to_dict("records"), table.to_dict("records"),
        strict=True,
    ):  # fmt: skip
        own = clip["labels"]
        expected = {label for one in seen for label in labels[one]} - set(own)
        assert sight.missing == expected
        assert row["missing"] == tuple(sorted(expected & used))
        assert row["complete"] == (not row["missing"])
        assert row["unmapped"] == tuple(sorted(f"name{one}" for one in seen if not labels[one]))
        frames = {
            label: set().union(*(at for one, at in seen.items() if label in labels[one]))
            for label in own
        }
        half = (clip["end"] - clip["start"]) / 2
        assert row["brief"] == tuple(sorted(x for x, at in frames.items() if len(at) < half))
        assert row["pure"] == (not row["brief"])


def test_pairs_and_names_are_counted() -> None:
    clips = keyed(
        [
            {"clip_id": str(i), "start": 0, "end": 1, "width": 10, "height": 10, "x": (0,),
             "y": (0,), "labels": ("a",) if i < 2 else ("a", "b")}
            for i in range(3)
        ],
        "clips_filtered",
    )  # fmt: skip
    activities = keyed(
        [activity(0, ("a",), 0, 1), activity(1, ("b",), 0, 1), activity(2, (), 0, 1)], "activities"
    )
    boxes = keyed([row for i in range(3) for row in boxes_of(i, range(1), [(0, 0, 4, 4)])], "boxes")
    table = completeness(clips, activities, boxes)
    assert table["complete"].tolist() == [False, False, True]
    assert missing_pairs(table).to_dict("records") == [
        {"label": "a", "missing": "b", "clips": 2, "clip_ids": ("0", "1")}
    ]
    assert unmapped_names(table).to_dict("records") == [{"name": "name2", "clips": 3}]


def manifest(rows: list[tuple[str, str, str, tuple[str, ...]]]) -> pd.DataFrame:
    table = pd.DataFrame(
        [
            dict.fromkeys(columns("clips"))
            | {"source": "s", "video_id": video, "annotation_set": "x", "group": group,
               "split": split, "labels": labels, "clip_id": f"c{i}", "start": 0, "end": 20,
               "width": 10, "height": 10, "x": (0,) * 20, "y": (0,) * 20}
            for i, (video, group, split, labels) in enumerate(rows)
        ],
        columns=columns("clips"),
    )  # fmt: skip
    return table


def videos(names: list[str], session: list[str | None]) -> pd.DataFrame:
    table = pd.DataFrame(index=range(len(names)), columns=columns("videos"), dtype=object)
    return table.assign(
        source="s", video_id=names, annotation_set="x", session=session,
        camera=[f"cam{i}" for i in range(len(names))],
    )  # fmt: skip


def test_what_lies_in_two_splits_is_named() -> None:
    rows = [("v0", "g0", "train"), ("v0", "g0", "test"), ("v1", "g1", "val"), ("v2", "g2", "val")]
    table = shared(
        manifest([(*row, ("a",)) for row in rows]), videos(["v0", "v1", "v2"], ["t", "t", None])
    )
    found = [(row.kind, row.value, row.splits, row.clips) for row in table.itertuples()]
    assert found == [
        ("group", "g0", ("train", "test"), 2),
        ("video", "v0", ("train", "test"), 2),
        ("session", "t", ("train", "val", "test"), 3),
    ]
    assert table["cameras"].tolist()[-1] == ("cam0", "cam1")
    apart = manifest([("v0", "g0", "train", ("a",)), ("v1", "g1", "val", ("a",))])
    assert shared(apart, videos(["v0", "v1"], ["t", "u"])).empty


def test_shares_and_drift() -> None:
    rows = [("v0", "g", "train", ("a",)), ("v1", "h", "test", ("a", "b"))]
    table = shares(manifest(rows), ("a", "b", "c"), TARGETS)
    assert table["label"].tolist() == ["a", "b", "c", "all"]
    assert table["clips"].tolist() == [2, 1, 0, 2]
    assert table["test"].tolist() == [0.5, 1.0, 0.0, 0.5]
    assert table["drift"].tolist() == pytest.approx([0.27, 0.77, 0.0, 0.27])


def test_short_and_held_clips() -> None:
    clips = manifest([("v", "g", "train", ("a",))] * 3)
    clips = clips.assign(n_frames=[15, 16, 20], held=[0, 0, 2])
    table = short_or_held(clips, least=16)
    assert table[["clip_id", "frames", "held"]].to_numpy().tolist() == [
        ["c0", 15, 0],
        ["c2", 20, 2],
    ]
    planned = clips.drop(columns=["n_frames", "held"])
    assert short_or_held(planned, least=21)["clip_id"].tolist() == ["c0", "c1", "c2"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_near_pairs_against_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, size=(6, 128))[rng.integers(0, 6, 30)]
    flips = rng.random(bits.shape) < rng.choice([0.0, 0.03, 0.07], size=(30, 1))
    bits = bits ^ flips
    split = rng.choice(["train", "val", "test"], 30).astype(object)
    i, j = np.triu_indices(30, 1)
    apart = (bits[i] != bits[j]).sum(axis=1)
    near = (apart <= MAX_DISTANCE) & (split[i] != split[j])
    expected = sorted(zip(i[near], j[near], apart[near], strict=True))
    hashes = np.packbits(bits.astype(np.uint8), axis=1)
    assert list(zip(*near_pairs(hashes, split), strict=True)) == expected


def picture(seed: int, side: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.float64)
    places = np.linspace(0, 5, side)
    low = np.floor(places).astype(int).clip(0, 4)
    part = places - low
    rows = coarse[low] * (1 - part)[:, None, None] + coarse[low + 1] * part[:, None, None]
    smooth = rows[:, low] * (1 - part)[None, :, None] + rows[:, low + 1] * part[None, :, None]
    return smooth.astype(np.uint8)


def luma(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)


def write_clip(path: Path, seed: int, side: int, noise: float, n: int = 6) -> None:
    rng = np.random.default_rng(seed + 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "10"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for t in range(n):
            frame = picture(seed + 1000 * t, side) + rng.normal(0, noise, (side, side, 3))
            frame = frame.clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_hashes_hold_against_noise_and_scaling() -> None:
    frames = [picture(0, 64), picture(1, 64)]
    noise = np.random.default_rng(2).normal(0, 4, (64, 64, 3))
    same = [hash_frames([luma(frame + noise) for frame in frames])]
    same.append(hash_frames([luma(picture(0, 96)), luma(picture(1, 96))]))
    own = hash_frames([luma(frame) for frame in frames])
    assert own.shape == (16,)
    for other in same:
        assert np.unpackbits(own ^ other).sum() <= MAX_DISTANCE
    other = hash_frames([luma(picture(5, 64)), luma(picture(6, 64))])
    assert np.unpackbits(own ^ other).sum() > 30


def test_near_duplicates_across_splits_are_found(tmp_path: Path) -> None:
    seeds = [0, 0, 7, 0, 9]
    rows = [
        ("v0", "g0", "train"),
        ("v1", "g1", "test"),
        ("v1", "g1", "test"),
        ("v0", "g0", "train"),
    ]
    clips = manifest([(*row, ("a",)) for row in [*rows, ("v2", "g2", "val")]])
    for i, seed in enumerate(seeds[:-1]):
        write_clip(tmp_path / f"{i}.mp4", seed, 64 if i else 80, noise=2)
    (tmp_path / "4.mp4").write_bytes(b"no video")
    clips = clips.assign(path=[f"{i}.mp4" for i in range(5)], n_frames=6)
    found = duplicates(clips, tmp_path)
    pairs = list(zip(found["clip_id_a"], found["clip_id_b"], strict=True))
    assert sorted(pairs) == [("c0", "c1"), ("c1", "c3")]
    assert (found["distance"] <= MAX_DISTANCE).all()
    assert set(found["video_id_a"]) | set(found["video_id_b"]) == {"v0", "v1"}
    raw = b""
    for i in range(4):  # the same frames, raw, after one another
        with av.open(str(tmp_path / f"{i}.mp4")) as container:
            frames = [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]
        clips.loc[i, ["pack_file", "pack_offset", "path"]] = ["raw.yuv", len(raw), "gone.mp4"]
        clips.loc[i, ["width", "height"]] = 64 if i else 80
        raw += b"".join(frames)
    (tmp_path / "raw.yuv").write_bytes(raw)
    again = duplicates(clips, tmp_path)
    assert again.equals(found)  # the distances too: packed and encoded luma are the same
    (tmp_path / "raw.yuv").write_bytes(raw[:100])
    assert duplicates(clips, tmp_path).empty


def test_packed_and_encoded_clips_give_the_same_luma(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 3, 72, noise=2)  # rows of 72 pixels are padded in the decoder
    with av.open(str(tmp_path / "a.mp4")) as container:
        raw = b"".join(frame.to_ndarray().tobytes() for frame in container.decode(video=0))
    (tmp_path / "a.yuv").write_bytes(raw)
    packed = packed_luma(tmp_path / "a.yuv", 0, 72, 72, (0, 3))
    assert np.array_equal(packed, frames_at(tmp_path / "a.mp4", (0, 3), luma=True))


def lost() -> dict[str, pd.DataFrame]:
    """Issues and a balance: of 100 frames 12 are short and 30 too large."""
    key = {"source": "s", "video_id": "v", "annotation_set": "x"}
    found = [
        issues_frame([Issue(stage, reason, "dropped", count=n)], **key)
        for stage, reason, n in (("chunk", "short", 12), ("crop", "too_large", 30))
    ]
    balance = balance_frame(Balance("chunk", "frames", 100, 88, 12), **key)
    return {"issues": pd.concat(found), "balance": balance}


def test_lost_frames_are_told_by_reason() -> None:
    found = lost_frames(**lost())
    assert list(found.itertuples(index=False, name=None)) == [
        ("too_large", 30, 0.3),
        ("short", 12, 0.12),
        ("none", 58, 0.58),
    ]


@settings(max_examples=20, deadline=None)
@given(scenes())
def test_an_audit_is_told_and_goes_to_json(tables: Tables) -> None:
    clips, _, _ = tables
    given = {"clips": clips, "videos": videos(["v"], [None]), **lost()}
    found = audit(given, [tables], classes=("a", "b"), targets=TARGETS)
    text = render(found)
    assert f"of {len(clips):,} clips have every label" in text
    assert "not sought, as no clip is cut" in text
    assert f"{found.complete:.2%}" in text
    assert json.loads(json.dumps(found.to_dict()))["complete"] == found.complete


def test_an_empty_build_can_be_audited() -> None:
    names = ("videos", "issues", "balance")
    none = {name: empty(name) for name in names} | {"clips": empty("clips_filtered")}
    found = audit(none, [], classes=("a",), targets=TARGETS)
    assert found.complete == 1.0
    assert "100.00% of 0 clips" in render(found)
    assert list(found.shared.columns)[:2] == ["kind", KEYS[0]]
