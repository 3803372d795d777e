"""The demo corpus: its stamp outlives H.264 and cropping, its annotations tell the truth."""

from __future__ import annotations

import filecmp
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyvirat_build as tvb
from tinyvirat_build import formats, labels
from tinyvirat_build.errors import DataError
from tinyvirat_build.formats import READERS, ReadOptions
from tinyvirat_build.records import VideoAnnotation
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery, Entry, demo
from tinyvirat_build.sources.demo import annotate, cameras, stamp, world

SCALE = 0.1


def with_scale(scale: float, seed: int = 0) -> Settings:
    return Settings.load(overrides=[f"demo.scale={scale}", f"demo.seed={seed}"])


def rendered_in(data: Path, settings: Settings) -> Discovery:
    demo.SOURCE.prepare(data, settings, quiet=True)
    return demo.SOURCE.discover(data, settings)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Discovery:
    return rendered_in(tmp_path_factory.mktemp("data"), with_scale(SCALE))


@pytest.fixture(scope="module")
def read(corpus: Discovery) -> list[tuple[Entry, VideoAnnotation]]:
    options = ReadOptions()
    return [(e, READERS[e.format](e.video_id, e.files, options)) for e in corpus.entries]


def decode(path: Path) -> Iterator[tuple[av.VideoFrame, np.ndarray, np.ndarray, np.ndarray]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            flat = frame.to_ndarray().ravel()
            h, w = frame.height, frame.width
            y, u, v = np.split(flat, [h * w, h * w * 5 // 4])
            yield frame, y.reshape(h, w), u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2)


def blank(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(h * w)
    u, v = 128 + stamp.COLOUR_STEP * rng.integers(-3, 4, (2, h, w))
    return u.astype(np.uint8), v.astype(np.uint8)


# -- the stamp


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_window_of_ten_pixels_tells_frame_and_place(data: st.DataObject) -> None:
    u, v = blank(*data.draw(st.sampled_from([(180, 320), (640, 240), (5, 640)])))
    frame = data.draw(st.integers(0, stamp.MAX_FRAMES - 1))
    stamp.write_stamp(u, v, frame)
    h, w = (data.draw(st.integers(5, min(64, n))) for n in u.shape)
    y, x = (data.draw(st.integers(0, n - k)) for n, k in zip(u.shape, (h, w), strict=True))
    window = (slice(y, y + h), slice(x, x + w))
    assert stamp.read_stamp(np.zeros((2 * h, 2 * w)), u[window], v[window]) == (frame, 2 * x, 2 * y)


def test_every_place_of_a_large_picture_is_told_apart() -> None:
    u, v = blank(360, 640)
    stamp.write_stamp(u, v, 1234)
    view = np.lib.stride_tricks.sliding_window_view
    pick = np.random.default_rng(0).integers(0, 356 * 636, 20_000)
    windows = [view(p, (5, 5)).reshape(-1, 5, 5)[pick] for p in (u, v)]
    frame, x, y = stamp.read_stamps(*windows)
    assert (frame == 1234).all()
    assert (x == 2 * (pick % 636)).all()
    assert (y == 2 * (pick // 636)).all()


def test_one_wrong_sample_of_position_does_not_matter() -> None:
    u, v = blank(100, 100)
    stamp.write_stamp(u, v, 77)
    for k in range(25):
        broken = u[40:45, 30:35].copy()
        broken.flat[k] += stamp.COLOUR_STEP // 2  # the other bit
        part = v[40:45, 30:35]
        frame, x, y = stamp.read_stamp(np.zeros((10, 10)), broken, part)
        assert (frame, x, y) == (77, 60, 80)


def test_a_window_padded_past_the_edge_still_tells_its_place() -> None:
    u, v = blank(100, 100)
    stamp.write_stamp(u, v, 5)
    padded = [np.pad(p[:20, :24], ((6, 0), (3, 0)), mode="edge") for p in (u, v)]
    assert stamp.read_stamp(np.zeros((52, 54)), *padded) == (5, -6, -12)


def test_what_carries_no_stamp_is_refused() -> None:
    plain = np.full((20, 20), 128, np.uint8)
    with pytest.raises(ValueError, match="no stamp"):
        stamp.read_stamp(np.zeros((40, 40)), plain, plain)
    with pytest.raises(ValueError, match="4:2:0"):
        stamp.read_stamp(np.zeros((40, 41)), plain, plain)
    with pytest.raises(ValueError, match="10×10"):
        stamp.read_stamps(plain[None, :4], plain[None, :4])
    with pytest.raises(ValueError, match="2048"):
        stamp.write_stamp(plain, plain, 2048)


@pytest.mark.slow
def test_every_frame_of_the_corpus_is_readable_after_its_encoder(corpus: Discovery) -> None:
    rng = np.random.default_rng(1)
    for entry in corpus.entries:
        assert entry.video is not None
        for side in (5, 5, 17):
            crops_u, crops_v, truth = [], [], []
            for number, (_, _, u, v) in enumerate(decode(entry.video)):
                y, x = (int(rng.integers(0, n - side + 1)) for n in u.shape)
                crops_u.append(u[y : y + side, x : x + side])
                crops_v.append(v[y : y + side, x : x + side])
                truth.append((number, 2 * x, 2 * y))
            found = np.stack(stamp.read_stamps(np.array(crops_u), np.array(crops_v)), 1)
            assert found.tolist() == [list(t) for t in truth], entry.video_id


# -- the files


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    demo.render(tmp_path / "a", seed=3, scale=0.005)
    demo.render(tmp_path / "b", seed=3, scale=0.005, workers=3)
    demo.render(tmp_path / "c", seed=4, scale=0.005)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 3 * 4 + 1
    same = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", map(str, files), shallow=False)
    assert same == ([str(f) for f in files], [], [])
    _, differ, _ = filecmp.cmpfiles(tmp_path / "a", tmp_path / "c", map(str, files), shallow=False)
    assert len(differ) > 9


def test_videos_differ_in_size_rate_and_kind(corpus: Discovery) -> None:
    sizes, rates, kinds = set(), set(), set()
    counts = []
    for entry in corpus.entries:
        assert entry.video is not None
        with av.open(str(entry.video)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (entry.width, entry.height)
            assert stream.average_rate == Fraction(entry.fps)
            assert not container.streams.audio
            sizes.add((stream.width, stream.height))
            rates.add(stream.average_rate)
            pictures = [f.pict_type for f in container.decode(video=0)]
            kinds |= set(pictures)
            counts.append(len(pictures))
    assert any(h > w for w, h in sizes)
    assert len(sizes) >= 3
    assert len({(t.camera.width, t.camera.height) for t in cameras.takes(1.0)}) >= 5
    assert len(rates) >= 2
    assert kinds == {1, 2, 3}  # I, P and B
    frames = {t.video_id: t.frames for t in cameras.takes(SCALE)}
    assert counts == [frames[e.video_id] for e in corpus.entries]
    assert any(t.camera.width == 1280 for t in cameras.takes(1.0))
    assert any(t.camera.fps == "30000/1001" for t in cameras.takes(1.0))


def test_groups_are_many_and_hold_every_label() -> None:
    """Partition needs three groups a label; the filter leaves out exits alone."""
    takes = cameras.takes(1.0)
    assert len({t.group for t in takes}) >= 12
    groups: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for number, take in enumerate(takes):
        scene = world.build(take, np.random.default_rng([0, number]))
        for event in scene.events:
            groups.setdefault(event.name, set()).add(take.group)
            counts[event.name] += 1
    assert min(map(len, groups.values())) >= 3
    assert [name for name, n in counts.items() if n < 40] == ["person_exits_vehicle"]


def test_the_corpus_is_rendered_once_and_anew_for_another_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []

    def fake(out: Path, *, seed: int, scale: float, workers: int, quiet: bool) -> None:
        rendered.append(seed)
        marker = {"version": demo.VERSION, "seed": seed, "scale": scale}
        (out / "corpus.json").write_text(json.dumps(marker))

    monkeypatch.setattr(demo, "render", fake)
    for seed in (0, 0, 1, 1):
        found = rendered_in(tmp_path / "new", with_scale(0.01, seed))
    assert rendered == [0, 1]
    assert sorted(p.name for p in (tmp_path / "new").iterdir() if p.is_dir()) == ["demo"]
    inside = rendered_in(tmp_path / "new" / "demo", with_scale(0.01, 1))
    assert inside == found
    assert rendered == [0, 1]


def test_looking_renders_and_replaces_nothing(tmp_path: Path) -> None:
    for data in (tmp_path / "none", tmp_path):
        with pytest.raises(
            DataError, match=r"no demo corpus of seed 7, .* lies here; .* renders it"
        ):
            demo.SOURCE.discover(data, with_scale(0.01, 7))
    assert not list(tmp_path.iterdir())
    (tmp_path / "demo").mkdir()
    marker = json.dumps({"version": demo.VERSION, "seed": 0, "scale": 0.01})
    (tmp_path / "demo" / "corpus.json").write_text(marker)
    with pytest.raises(DataError, match=r"of seed 7, .* but one of seed 0"):
        demo.SOURCE.discover(tmp_path, with_scale(0.01, 7))
    assert (tmp_path / "demo" / "corpus.json").read_text() == marker


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not a demo corpus"):
        rendered_in(tmp_path, with_scale(0.01))
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="writable"):
        rendered_in(tmp_path / "file", with_scale(0.01))


def test_a_rendering_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(demo, "write_annotation", fail)
    with pytest.raises(DataError, match="disk full"):
        rendered_in(tmp_path, with_scale(0.001))
    assert [p for p in tmp_path.iterdir() if p.is_dir()] == []


# -- the annotations


def test_every_name_is_known_to_its_label_map(
    read: list[tuple[Entry, VideoAnnotation]],
) -> None:
    classes = labels.load_classes("tinyvirat-26")
    seen: Counter[str] = Counter()
    for entry, video in read:
        names = labels.load_map(labels.DEFAULTS[entry.namespace], classes)
        for name in video.activities["name"]:
            found = names.labels_of(name)
            assert found is not None, name
            seen.update(found or ["unmapped"])
    assert seen.keys() >= {"activity_walking", "activity_carrying", "Entering", "unmapped"}
    assert seen.keys() >= {"vehicle_turning_left", "vehicle_turning_right", "vehicle_starting"}


def test_the_quirks_of_real_data_occur(read: list[tuple[Entry, VideoAnnotation]]) -> None:
    reasons = Counter(i.reason for _, video in read for i in video.issues)
    assert set(reasons) == {"empty_clip", "status", "no_geometry"} | {
        r for r in reasons if r == "actor_missing"
    }
    for _, video in read:
        dropped = sum(i.count for i in video.issues if i.action == "dropped")
        assert len(video.activities) + dropped == video.records_in
    past = [
        (video.boxes[["x1", "y1"]].min().min() < 0) or (video.boxes["x2"].max() > entry.width)
        for entry, video in read
    ]
    assert any(past)


def test_actors_are_of_8_to_150_pixels_and_one_window_is_exactly_128() -> None:
    """The window of the guard's box, on even corners, is the largest one that is kept."""
    sides, even = [], set()
    for number, take in enumerate(cameras.takes(1.0)):
        if take.camera.name not in ("G904", "G905", "G902"):
            continue
        take = replace(take, frames=24 if take.camera.name != "G904" else 90)
        scene = world.build(take, np.random.default_rng([0, number]))
        boxes = paint_all(scene)
        with np.errstate(invalid="ignore"):
            sides.append((boxes[..., 2:] - boxes[..., :2]).max(-1).ravel())
        corners = np.stack([np.floor(boxes[..., :2] / 2), np.ceil(boxes[..., 2:] / 2)])
        even |= set((2 * (corners[1] - corners[0]).max(-1)).ravel().tolist())
    all_sides = np.concatenate(sides)
    all_sides = all_sides[~np.isnan(all_sides)]
    assert all_sides.min() <= 12
    assert all_sides.max() > 128
    assert 128.0 in even


def paint_all(scene: world.Scene) -> np.ndarray:
    from tinyvirat_build.sources.demo.film import _paint_actors
    from tinyvirat_build.sources.demo.paint import Canvas

    camera = scene.take.camera
    h, w = camera.height, camera.width
    planes = [np.zeros((h, w), np.uint8), *np.zeros((2, h // 2, w // 2), np.uint8)]
    boxes = np.full((len(scene.actors), scene.take.frames, 4), np.nan)
    canvas = Canvas(*planes)
    for t in range(scene.take.frames):
        _paint_actors(canvas, scene, t, boxes)
    return boxes


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_what_the_motion_shows(seed: int) -> None:
    take = cameras.takes(1.0)[0]
    scene = world.build(take, np.random.default_rng(seed))
    speed, turning = {}, {}
    for number, actor in enumerate(scene.actors):
        speed[number] = np.hypot(np.gradient(actor.x), np.gradient(actor.y) / world.SQUASH)
        if isinstance(actor, world.Vehicle):
            turning[number] = np.gradient(np.unwrap(actor.heading))
    for e in scene.events:
        actor = e.actors[-1]
        inner = slice(e.start + 2, e.end - 2)
        v = speed[actor][inner]
        if e.name == "vehicle_turns_right":
            assert turning[actor][inner].mean() > 0.01
        elif e.name == "vehicle_turns_left":
            assert turning[actor][inner].mean() < -0.01
        elif e.name == "vehicle_starts":
            assert v[-4:].mean() > v[:4].mean() or e.end == take.frames
        elif e.name == "vehicle_stops":
            assert v[-4:].mean() < v[:4].mean() or e.end == take.frames
        elif e.name in ("activity_standing", "activity_gesturing"):
            assert v.max() == 0
        elif e.name == "activity_running":
            assert np.median(v) > 0.05 * scene.actors[actor].size[e.start]
        elif e.name == "activity_walking":
            assert 0 < np.median(v) < 0.06 * scene.actors[actor].size[e.start]
        elif e.name == "person_enters_vehicle":
            assert v.max() == 0
            person = scene.actors[e.actors[0]]
            assert (person.action[e.end :] == 0).all()


def test_activities_overlap_and_follow_each_other(
    read: list[tuple[Entry, VideoAnnotation]],
) -> None:
    carried = walked = adjacent = 0
    for _, video in read:
        a = video.activities
        carrying = a[a["name"] == "activity_carrying"]
        walking = a[a["name"] == "activity_walking"]
        carried += len(carrying)
        for start, end in zip(carrying["start"], carrying["end"], strict=True):
            walked += bool(((walking["start"] <= start) & (walking["end"] >= end)).any())
        adjacent += len(set(a["end"]) & set(a["start"]))
    assert carried > 5
    assert walked > 5
    assert adjacent > 5


def test_the_styles_of_kpf_say_the_same(tmp_path: Path) -> None:
    take = replace(cameras.takes(1.0)[0], frames=60, quirks=())
    scene = world.build(take, np.random.default_rng(0))
    boxes = paint_all(scene)
    seen = []
    for style in ("kitware", "training", "diva"):
        scene.take = replace(take, style=style)
        (tmp_path / style).mkdir()
        annotate.write_annotation(scene, boxes, tmp_path / style)
        files = annotate.annotation_files(style, take.video_id, tmp_path / style)
        video = formats.kpf.read(take.video_id, files, ReadOptions())
        assert not video.issues
        seen.append(boxes_of_activities(video))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == len(scene.events)


def test_a_build_shows_the_frames_and_places_that_its_manifest_names(tmp_path: Path) -> None:
    overrides = {"demo.scale": 0.01, "filter.min_samples": 0}
    build = tvb.build(source="demo", out=tmp_path, settings=overrides, workers=1)
    clips = build.clips
    assert len(clips) > 10
    assert demo.misplaced(clips, tmp_path) == []
    moved = clips.assign(start=clips["start"] + 1, x=[np.asarray(x) + 2 for x in clips["x"]])
    assert len(demo.misplaced(moved, tmp_path)) == len(clips)
    shorter = clips.assign(x=[x[1:] for x in clips["x"]], y=[y[1:] for y in clips["y"]])
    assert "the manifest says" in demo.misplaced(shorter.iloc[:1], tmp_path)[0]


def boxes_of_activities(video: VideoAnnotation) -> list[tuple[object, ...]]:
    """Each activity's name, span and sum of its actors' boxes, whatever its actors are called."""
    boxes = video.boxes.assign(actor_id=video.boxes["actor_id"].astype(str))
    rows = []
    for a in video.activities.itertuples():
        mine = boxes[boxes["actor_id"].isin(a.actors)]
        mine = mine[(mine["frame"] >= a.start) & (mine["frame"] < a.end)]
        rows.append((a.name, a.start, a.end, *mine[["x1", "y1", "x2", "y2"]].sum()))
    return sorted(rows)


@pytest.mark.parametrize("style", ["kitware", "training"])
def test_the_first_lines_are_those_of_mevas_own_files(
    style: cameras.Style, tmp_path: Path, shared: Path
) -> None:
    """Which lines name the clip, in each of the three files, also of one that is marked empty."""
    folders = {"kitware": "kitware", "training": "kitware-meva-training"}
    real = set()
    for file in (shared / "data/meva/annotation" / folders[style]).rglob("*.types.yml"):
        if file.with_name(file.name.replace(".types.", ".geom.")).exists():
            real.add(lines_that_name(file.name.removesuffix(".types.yml"), file.parent))
    assert len(real) == 2
    take = next(t for t in cameras.takes(1.0) if t.style == style and "empty" not in t.quirks)
    empty = next(t for t in cameras.takes(1.0) if "empty" in t.quirks)
    assert empty.style == "kitware"
    for one in (take, empty) if style == "kitware" else (take,):
        scene = world.build(replace(one, frames=40), np.random.default_rng(0))
        annotate.write_annotation(scene, paint_all(scene), tmp_path)
        own = lines_that_name(one.video_id, tmp_path)
        assert own in real
        real.remove(own)


def lines_that_name(clip: str, folder: Path) -> tuple[tuple[str, ...], ...]:
    """The lines of a clip's activities, geometry and types that hold its name."""
    texts = (f.read_text() for f in annotate.annotation_files("kitware", clip, folder))
    return tuple(
        tuple(line.replace(clip, "CLIP") for line in text.splitlines() if clip in line)
        for text in texts
    )
