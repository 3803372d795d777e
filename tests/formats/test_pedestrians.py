"""The street video's tracks, written in each format that teams' tools export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

import tinyvirat_build as tvb
from tinyvirat_build.builds import Build
from tinyvirat_build.formats import READERS, ReadOptions
from tinyvirat_build.records import VideoAnnotation

from . import written
from .written import Files

VIDEO = "vtest"


@dataclass(frozen=True)
class Form:
    """A format, and what of KPF it can hold."""

    write: Callable[[str, VideoAnnotation], Files]
    description: str
    ids: bool = False  # whether activities keep their ids
    together: bool = True  # whether several actors have one activity


FORMS = {
    "csv": Form(written.as_csv, "format: csv", ids=True),
    "actev-json": Form(written.as_actev_json, "format: actev-json\ndialect: exclusive", ids=True),
    "cvat-xml": Form(written.as_cvat, "format: cvat-xml"),
    "dive": Form(written.as_dive, "format: dive"),
    "viame-csv": Form(written.as_viame, "format: dive", together=False),
    "kwcoco": Form(written.as_kwcoco, "format: kwcoco", ids=True),
}


@pytest.fixture(scope="module")
def known(shared: Path) -> VideoAnnotation:
    files = sorted((shared / "data" / "pedestrians").glob("*.yml"))
    return READERS["kpf"](VIDEO, files, ReadOptions())


def alone(read: VideoAnnotation) -> VideoAnnotation:
    """The same, where each of several actors has an activity of its own."""
    acts = read.activities.explode("actors")
    acts["actors"] = [(actor,) for actor in acts["actors"]]
    acts["activity_id"] += "of" + acts["actors"].str[0]
    return replace(read, activities=acts.reset_index(drop=True))


def spans(read: VideoAnnotation) -> list[tuple[object, ...]]:
    a = read.activities
    actors = a["actors"].map(lambda ids: tuple(sorted(ids)))
    return sorted(zip(a["name"], a["start"], a["end"], actors, strict=True))


def boxes(read: VideoAnnotation) -> pd.DataFrame:
    columns = ["actor_id", "frame", "x1", "y1", "x2", "y2"]
    rows = read.boxes[columns].astype({"actor_id": str})
    return rows.sort_values(columns[:2], ignore_index=True)


@pytest.mark.parametrize("name", FORMS)
def test_every_format_tells_of_the_same_street(
    name: str, known: VideoAnnotation, tmp_path: Path
) -> None:
    form = FORMS[name]
    source = known if form.together else alone(known)
    for file, text in form.write(VIDEO, source).items():
        (tmp_path / file).write_text(text)
    dialect = "exclusive" if name == "actev-json" else ""
    format = form.description.split()[1]
    read = READERS[format](VIDEO, sorted(tmp_path.iterdir()), ReadOptions(dialect=dialect))
    assert spans(read) == spans(source)
    if form.ids:
        assert set(read.activities["activity_id"]) == set(known.activities["activity_id"])
    in_activities = {actor for actors in known.activities["actors"] for actor in actors}
    same = boxes(read)
    pd.testing.assert_frame_equal(
        same[same["actor_id"].isin(in_activities)].reset_index(drop=True),
        boxes(known)[lambda b: b["actor_id"].isin(in_activities)].reset_index(drop=True),
        check_dtype=False,
    )


def build(folder: Path, data: Path, files: Files, description: str) -> Build:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "vtest.avi").symlink_to(data / "vtest.avi")
    (folder / "street.yaml").write_text(f"name: street\nfps: 10\n{description}\n")
    return tvb.build(
        str(folder / "street.yaml"),
        folder / "out",
        settings={"filter.min_samples": 1},
        workers=1,
        until="cut",
    )


def clips(build: Build) -> pd.DataFrame:
    """The windows and the checksum of the frames of each clip, in an order of their own."""
    found = build.table("clips_filtered").merge(
        build.table("cuts")[["clip_id", "sha256", "n_frames"]], on="clip_id", validate="1:1"
    )
    found["x"], found["y"] = found["x"].map(tuple), found["y"].map(tuple)
    found["labels"] = found["labels"].map(tuple)
    columns = ["start", "end", "width", "height", "x", "y", "labels", "sha256", "n_frames"]
    return found.sort_values(columns[:6], ignore_index=True)[["clip_id", *columns]]


@pytest.mark.slow
def test_every_format_gives_the_same_clips(
    known: VideoAnnotation, shared: Path, tmp_path: Path
) -> None:
    """Equal spans, windows and decoded frames, and equal ids where activities keep theirs."""
    data = shared / "data" / "pedestrians"
    kpf = {path.name: path.read_text() for path in data.glob("*.yml")}
    expected = clips(build(tmp_path / "kpf", data, kpf, "format: kpf"))
    per_actor = written.as_csv(VIDEO, alone(known))
    expected_alone = clips(build(tmp_path / "alone", data, per_actor, "format: csv"))
    assert len(expected) > 50
    assert not expected["sha256"].isna().any()
    for name, form in FORMS.items():
        source = known if form.together else alone(known)
        files = form.write(VIDEO, source)
        found = clips(build(tmp_path / name, data, files, form.description))
        wanted = expected if form.together else expected_alone
        if not form.ids:
            found, wanted = (t.drop(columns="clip_id") for t in (found, wanted))
        pd.testing.assert_frame_equal(found, wanted)
