"""The page and its data against the tables, recomputed; hostile names; planted findings."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builds import DEMO, bytes_of
from made import CLASSES, HOSTILE, manifest, write_tables
from pages import read_clips, read_data, read_page

import tinyvirat_build as tvb
from tinyvirat_build.audit import KINDS, audit, findings
from tinyvirat_build.records import columns, empty
from tinyvirat_build.report import publish_statistics
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.timeline import JOINED, clip_cuts, losses, segment_cuts
from tinyvirat_build.settings import Settings

SPLITS = ("train", "val", "test")


def test_every_number_on_the_page_is_that_of_the_tables(demo: tvb.Build) -> None:
    tables = {p.stem: pd.read_parquet(p) for p in (demo.path / "tables").glob("*.parquet")}
    clips, page = tables["clips"], read_page(demo.path)
    here = clips[clips["id"].notna()]
    side = here[["width", "height"]].max(axis=1)
    values = [
        len(here), *((here["split"] == s).sum() for s in SPLITS),
        here["labels"].explode().nunique(), here["video_id"].nunique(),
        round(here["n_frames"].mean(), 1), round(side.mean(), 1),
        round(here["labels"].map(len).mean(), 1),
    ]  # fmt: skip
    shown = [float(tile.split()[0].replace(",", "")) for tile in page.tiles]
    assert shown == pytest.approx([float(v) for v in values], abs=0.051)

    counts = Counter(
        (label, s) for own, s in zip(here["labels"], here["split"], strict=True) for label in own
    )
    for row in page.table("classes-table"):
        own = here[[row["class"] in labels for labels in here["labels"]]]
        assert [int(row[s]) for s in SPLITS] == [counts[row["class"], s] for s in SPLITS]
        assert int(row["clips"]) == len(own) > 0
        shares = [100 * counts[row["class"], s] / len(own) for s in SPLITS]
        assert [float(v) for v in row["train / val / test"].split(" / ")] == pytest.approx(
            shares, abs=0.51
        )
        targets = (64, 13, 23)
        drift = max(abs(a - b) for a, b in zip(shares, targets, strict=True))
        assert float(row["drift, points"]) == pytest.approx(drift, abs=0.06)
        assert float(row["mean side"]) == pytest.approx(side[own.index].mean(), abs=0.051)
        assert float(row["mean frames"]) == pytest.approx(own["n_frames"].mean(), abs=0.051)

    balance = tables["balance"].groupby(["stage", "unit"])[["records_in", "records_out", "dropped"]]
    for row in page.table("funnel"):
        sums = balance.sum().loc[(row["stage"], row["unit"])].tolist()
        assert [int(row[c].replace(",", "")) for c in ("in", "out", "dropped")] == sums
        assert row["closes"] == "yes"
    assert len(page.table("funnel")) == len(balance)

    issues = tables["issues"].groupby(["stage", "reason", "action"])["count"]
    for row in page.table("issues"):
        own = issues.get_group((row["stage"], row["reason"], row["action"]))
        numbers = [int(row[c].replace(",", "")) for c in ("issues", "records")]
        assert numbers == [len(own), own.sum()]
    assert len(page.table("issues")) == len(issues)

    (own,) = [row for row in page.table("published") if row["Dataset"] == "this build"]
    assert float(own["Mean frames"]) == pytest.approx(here["n_frames"].mean(), abs=0.0051)
    assert own["Resolution"].startswith(f"{side.min()}×{side.min()}")
    assert int(own["Videos"].replace(",", "")) == len(here)


def test_the_gallery_has_every_clip_as_the_tables_have_it(demo: tvb.Build) -> None:
    clips, found = demo.clips, read_clips(demo.path)
    head = read_data(demo.path / "report" / "data" / "head.js")
    assert head["clips"] == len(clips) == len(found["id"])
    assert found["id"] == clips["clip_id"].tolist()
    for name, column in (("start", "start"), ("frames", "n_frames"), ("width", "width"),
                         ("height", "height"), ("held", "held"), ("number", "id"),
                         ("path", "path"), ("fps", "fps")):  # fmt: skip
        assert found[name] == clips[column].tolist(), name
    assert [head["splits"][s] for s in found["split"]] == clips["split"].astype(str).tolist()
    named = [tuple(head["classes"][c] for c in own) for own in found["labels"]]
    assert named == clips["labels"].tolist()
    assert [head["videos"][v]["id"] for v in found["video"]] == clips["video_id"].tolist()
    videos = demo.table("videos").set_index("video_id")
    for one in head["videos"]:
        row = videos.loc[one["id"]]
        assert [one[k] for k in ("width", "height", "frames", "camera")] == row[
            ["width", "height", "frames", "camera"]
        ].tolist()


def test_the_panels_have_boxes_windows_and_lines_as_the_tables_have_them(demo: tvb.Build) -> None:
    tables = {n: demo.table(n) for n in ("clips", "boxes", "activities", "segments")}
    head = read_data(demo.path / "report" / "data" / "head.js")
    for i, video in enumerate(head["videos"]):
        shown = read_data(demo.path / "report" / "data" / f"video-{i}.js")
        own = {n: t[t["video_id"].astype(str) == video["id"]] for n, t in tables.items()}
        for actor in shown["actors"]:
            boxes = own["boxes"][own["boxes"]["actor_id"].astype(str) == actor["id"]]
            frames = []
            for run in actor["runs"]:
                at = np.array(run).reshape(-1, 5)
                span = np.arange(at[0, 0], at[-1, 0] + 1)
                frames += span.tolist()
                rows = boxes[boxes["frame"].isin(span)].sort_values("frame")
                for k, side in enumerate(("x1", "y1", "x2", "y2"), 1):
                    drawn = np.interp(span, at[:, 0], at[:, k])
                    assert np.abs(drawn - rows[side].to_numpy()).max() < 0.6
            assert frames == sorted(boxes["frame"])
        for clip in own["clips"].to_dict("records"):
            told = shown["clips"][clip["clip_id"]]
            for axis in "xy":
                runs = np.array(told[axis]).reshape(-1, 2)
                assert np.repeat(runs[:, 0], runs[:, 1]).tolist() == list(clip[axis])
            assert tuple(told["own"]) == clip["activities"]
            assert tuple(told["near"]) == clip["seen_activities"]
        lines = own["activities"].set_index("activity_id")
        for one in shown["activities"]:
            assert one["line"] == lines.loc[one["id"], "line"] > 0
            assert one["file"] == lines.loc[one["id"], "file"]
        assert [s["id"] for s in shown["segments"]] == own["segments"]["segment_id"].tolist()


def test_the_line_of_a_record_is_where_the_file_has_it(demo: tvb.Build, demo_data: Path) -> None:
    rows = demo.table("activities")
    names = set(rows["file"])
    files = {p.name: p.read_text().splitlines() for p in demo_data.rglob("*") if p.name in names}
    assert len(files) > 2
    for name, line, activity in zip(rows["file"], rows["line"], rows["activity_id"], strict=True):
        assert activity in re.split(r"\W+", files[name][line - 1])


def test_the_page_allows_nothing_but_its_own_files(demo: tvb.Build) -> None:
    page = read_page(demo.path)
    policy = next(v for t, n, v in page.attributes if n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; script-src 'self' file:;")
    assert "unsafe" not in policy
    assert "".join(page.scripts).strip() == ""
    assert not [a for a in page.attributes if a[1] == "style" or a[1].startswith("on")]
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset") and not value.startswith("#"):
            assert (demo.path / value).is_file(), (tag, value)
    own = (demo.path / "report" / "report.js").read_text("utf-8")
    style = (demo.path / "report" / "report.css").read_text("utf-8")
    assert not [w for w in ("innerHTML", "eval(", "fetch(", "insertAdj", "https:") if w in own]
    assert "url(" not in style
    assert own.count("\n") < 600
    assert style.count("\n") < 600


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    clips = manifest()
    names = [HOSTILE[i % len(HOSTILE)] for i in range(12)]
    clips = clips.assign(
        video_id=names, path=[f"v/{name}" for name in names], released_id=names,
        labels=[(name,) for name in names],
    )  # fmt: skip
    write_tables(tmp_path, clips)
    publish_statistics(tmp_path, Settings.load(), HOSTILE, Extras())
    page = read_page(tmp_path)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert len([t for t, n, _ in page.attributes if t == "script" and n == "src"]) == 1
    assert {row["class"] for row in page.table("classes-table")} == set(HOSTILE)
    found = read_clips(tmp_path)
    assert set(found["path"]) == {f"v/{name}" for name in HOSTILE}


def planted() -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Clips with one fault of each kind of the audit, and what finds them."""
    clips = manifest(8).assign(
        group=[f"g{i}" for i in range(8)], n_frames=20, end=20, pack_file=None
    )
    clips = clips.assign(x=[(0,) * 20] * 8, y=[(0,) * 20] * 8, width=40, height=40)
    clips["video_id"] = [f"v{i}" for i in range(8)]
    clips["labels"] = [("Talking",)] * 7 + [("Opening", "Talking")]
    clips.loc[3, "n_frames"], clips.loc[4, "held"] = 9, 2
    clips.loc[[5, 6], "group"] = "shared"
    clips.loc[[5, 6], "split"] = ["train", "test"]
    rows, boxes = [], []
    for i in range(8):
        names = [("Talking", ("Talking",))]
        names += [("Opening", ("Opening",))] * (i in (0, 7)) + [("odd", ())] * (i == 2)
        for n, (name, labels) in enumerate(names):
            actor = f"{i}.{n}"
            own = {"source": "demo", "video_id": f"v{i}", "annotation_set": "x"}
            rows.append(own | {"activity_id": actor, "name": name, "labels": labels, "start": 0,
                               "end": 20, "actors": (actor,), "file_order": n})  # fmt: skip
            seen = range(5) if i == 1 else range(20)
            boxes += [own | {"actor_id": actor, "frame": t, "x1": 1, "y1": 1, "x2": 9, "y2": 9}
                      for t in seen]  # fmt: skip
    activities = pd.DataFrame(rows, columns=columns("activities"))
    tables = {n: empty(n) for n in ("issues", "balance")} | {"clips": clips}
    videos = clips[["source", "video_id", "annotation_set"]].assign(session=None, camera="")
    found = audit(
        tables | {"videos": videos},
        [(clips, activities, pd.DataFrame(boxes, columns=columns("boxes")))],
        classes=CLASSES, targets=(0.64, 0.13, 0.23),
    )  # fmt: skip
    twins = pd.DataFrame(
        [["0" * 15 + "7", "test", "demo", "v7", "0" * 15 + "1", "train", "demo", "v1", 3]],
        columns=["clip_id_a", "split_a", "source_a", "video_id_a", "clip_id_b", "split_b",
                 "source_b", "video_id_b", "distance"],
    )  # fmt: skip
    object.__setattr__(found, "duplicates", twins)
    return tables, findings(found, clips, videos)


def test_planted_faults_of_every_kind_are_in_the_gallery(tmp_path: Path) -> None:
    tables, said = planted()
    write_tables(tmp_path, tables["clips"])
    publish_statistics(tmp_path, Settings.load(), CLASSES, Extras(findings=said))
    found = read_clips(tmp_path)
    by_kind = {
        kind: [int(i, 16) for i, own in zip(found["id"], found["found"], strict=True)
               if kind in {one[0] for one in own}]
        for kind in KINDS
    }  # fmt: skip
    assert by_kind == {
        "incomplete": [0], "brief": [1], "unmapped": [2], "duplicate": [1, 7], "leak": [5, 6],
        "short": [3], "held": [4],
    }  # fmt: skip
    twins = {i: own for i, own in zip(found["id"], found["found"], strict=True) if own}
    assert twins["0" * 15 + "7"] == [["duplicate", "3 of 128 bits from 0000000000000001 of train",
                                      "0000000000000001"]]  # fmt: skip


def test_cuts_are_told_with_their_reasons() -> None:
    segments = pd.DataFrame(
        {"segment_id": [0, 1, 2], "start": [0, 40, 90], "end": [40, 90, 120],
         "labels": [("a",), ("a", "b"), ("a", "b")],
         "activities": [("1",), ("1", "2"), ("1", "2", "3")]}
    )  # fmt: skip
    why = segment_cuts(segments)
    assert why[0] == ("its activities begin", "labels change from a to a + b")
    assert why[1] == ("labels change from a to a + b", JOINED)
    assert why[2][1] == "its activities end"
    chunks = [{"segment_id": 1, "start": 40, "end": 65}, {"segment_id": 1, "start": 65, "end": 90}]
    clips = [
        {"segment_id": 1, "start": 40, "end": 65},
        {"segment_id": 1, "start": 70, "end": 90},
        {"segment_id": None, "start": 0, "end": 5},
    ]
    cuts = clip_cuts(clips, chunks, {s["segment_id"]: s for s in segments.to_dict("records")}, why)
    assert cuts[0] == ("labels change from a to a + b", "segment 1 is cut into 2 chunks")
    assert cuts[1] == ("a neighbour seen in the window changes the labels", JOINED)
    issues = pd.DataFrame(
        {"record": ["segment 1 frames [65, 70)", "clip x"], "reason": ["short", "held"],
         "detail": ["", ""]}
    )  # fmt: skip
    assert losses(issues, {"short": "few"}) == {1: [(65, 70, "short: few")]}


def test_equal_builds_have_equal_reports(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo.path, copy)
    before = bytes_of(copy)
    for name in ("report.html", "units/stats/all"):
        (copy / name).unlink()
    shutil.rmtree(copy / "report")
    tvb.build("demo", copy, data=demo_data, settings=DEMO, workers=1)
    assert bytes_of(copy) == before


@pytest.mark.slow
def test_a_plan_without_videos_shows_all_but_pictures(demo_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    for video in data.rglob("*.avi"):
        video.unlink()
    settings = DEMO | {"videos.missing": "skip", "report.previews": "auto"}
    build = tvb.build(demo_source(data), tmp_path / "out", data=data, settings=settings, workers=1)
    page, found = read_page(build.path), read_clips(build.path)
    assert len(found["id"]) == len(build.clips) > 50
    assert set(found["film"]) == {0}
    assert set(found["reason"]) == {"no_video"}
    said = "".join(page.text)
    assert "there are no pictures" in said
    assert "fetch them, put them anywhere below the data folder, and run" in said
    assert page.tiles[0].startswith(f"{len(build.clips)} ")
    tvb.build(demo_source(data), build.path, data=data, settings=settings, workers=1)
    assert json.loads((build.path / "log" / "last-run.json").read_text())["worked"]["stats"] == 0


def demo_source(data: Path) -> Path:
    """The demo's annotations as a corpus of one's own, whose videos are not made again."""
    file = data / "corpus.yaml"
    file.write_text(
        "name: planned\nformat: kpf\nlabels: demo-to-tinyvirat\nclasses: tinyvirat-26\n", "utf-8"
    )
    return file
