"""Finding MEVA and VIRAT by their names, on real trees and on made ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tinyvirat_build import sources
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery
from tinyvirat_build.sources.files import cameras, one_actor
from tinyvirat_build.sources.meva import CLIP_TABLE, SETS, read_slots, time_slot
from tinyvirat_build.sources.virat import session_of

CLIP = "2018-03-07.16-50-01.16-55-01.bus.G331"
OTHER = "2018-03-07.16-52-01.16-55-01.bus.G639"


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def meva(data: Path, *overrides: str) -> Discovery:
    return sources.get("meva").discover(data, Settings.load(overrides=overrides))


def virat(data: Path, *overrides: str) -> Discovery:
    return sources.get("virat").discover(data, Settings.load(overrides=overrides))


# The clips that a set's folder holds, counted by other means than discovery's: the distinct
# prefixes of its file names up to the camera.
def count_clips(folder: Path) -> int:
    stem = re.compile(r".*?[._]G\d{3}")
    found = (stem.match(p.name.replace("_", ".")) for p in folder.rglob("*") if p.is_file())
    return len({m[0] for m in found if m})


def test_every_set_of_the_sample_is_found_whole(shared: Path) -> None:
    data = shared / "data" / "meva"
    counts = {}
    for name in SETS:
        folders = list((data / "annotation").rglob(name))
        if not any(count_clips(folder) for folder in folders):  # UMD-v1-train: of VIRAT alone here
            continue
        found = meva(data, f"meva.sets=[{name}]")
        assert len(found.entries) == count_clips(folders[0]), name
        assert not found.unplaced
        counts[name] = len(found.entries)
        assert found.entries == meva(folders[0], f"meva.sets=[{name}]").entries  # root included
    assert counts["kitware"] == counts["history-2019-12"] == 266
    assert (counts["kitware-meva-training"], counts["nist-kf1-json"], len(counts)) == (66, 65, 10)


def test_formats_and_dialects_of_the_sample(shared: Path) -> None:
    data = shared / "data" / "meva"
    found = meva(data)
    everything = (*found.entries, *found.others)
    kinds = {(e.annotation_set, e.format, e.dialect) for e in everything}
    assert ("CMU-v2", "actev-json", "inclusive") in kinds
    assert ("CMU-v2", "kpf", "") in kinds  # one clip lacks its JSON
    assert ("UMD-v1-val", "actev-json", "exclusive") in kinds
    assert ("nist-kf1-json", "actev-json", "nist") in kinds
    assert ("JHU-AIEM", "cuboids", "") in kinds
    assert all(len(e.files) >= 1 and all(f.is_file() for f in e.files) for e in everything)


def test_umds_virat_videos_belong_to_virat(shared: Path) -> None:
    found = virat(shared / "data" / "meva")
    assert len(found.entries) == 18
    assert {(e.format, e.dialect, e.namespace, e.annotation_set) for e in found.entries} == {
        ("actev-json", "exclusive", "meva", name) for name in ("UMD-v1-train", "UMD-v1-val")
    }


def test_slots_of_the_table_are_floored_starts(shared: Path) -> None:
    slots = read_slots(shared / "data" / "meva" / "metadata" / CLIP_TABLE)
    assert len(slots) == 4220
    assert all(time_slot(clip) == slot for clip, slot in slots.items())


def test_an_annotation_clone_beside_videos(tmp_path: Path) -> None:
    repo = "meva-data-repo/annotation/DIVA-phase-2/MEVA"
    touch(
        tmp_path,
        f"{repo}/kitware/2018-03-07/16/{CLIP}.activities.yml",
        f"{repo}/kitware/2018-03-07/16/{CLIP}.geom.yml",
        f"{repo}/kitware-meva-training/2018-03-07/16/{CLIP}.activities.yml",
        f"{repo}/kitware-meva-training/2018-03-07/16/{OTHER}.activities.yml",
        f"{repo}/contrib/CMU-v2/2018-03-07/16/{CLIP}-activities.yml",
        f"{repo}/contrib/CMU-v2/2018-03-07/16/{CLIP}.json",
        f"meva-data-repo/.git/kitware/{OTHER}.activities.yml",
        f"drops-123-r13/2018-03-07/16/{CLIP}.r13.avi",
        f"old/{CLIP}.r0.avi",
        f"old/{OTHER}.r0.avi",
        "drops-123-r13/2018-03-07/16/2018-03-07.16-50-01.16-55-01.bus.G340.r13.avi",
    )
    found = meva(tmp_path)
    assert [(e.video_id, e.annotation_set) for e in found.entries] == [
        (CLIP, "kitware"),
        (OTHER, "kitware-meva-training"),
    ]
    first, second = found.entries
    assert first.video is not None
    assert first.video.name == f"{CLIP}.r13.avi"
    assert second.video is not None
    assert second.video.name == f"{OTHER}.r0.avi"
    assert [f.name for f in first.files] == [f"{CLIP}.activities.yml", f"{CLIP}.geom.yml"]
    assert {(e.annotation_set, e.format) for e in found.others} == {
        ("CMU-v2", "actev-json"),
        ("kitware-meva-training", "kpf"),
    }
    assert [(video, i.reason) for video, i in found.issues] == [(CLIP, "other_set")]
    assert len(found.videos) == 3
    assert (first.scene, first.camera, first.session) == ("bus", "G331", "2018-03-07.16-50-00")
    assert (second.width, second.height) == (1080, 1920)  # portrait


def test_clip_table_names_the_slot(tmp_path: Path) -> None:
    touch(tmp_path, f"kitware/{CLIP}.activities.yml")
    (tmp_path / CLIP_TABLE).write_text(f"{CLIP} 2018-03-07.16-45-00 no-camera-model IR x 0 -1\n")
    assert meva(tmp_path).entries[0].session == "2018-03-07.16-45-00"


def test_jhu_names_are_converted(tmp_path: Path) -> None:
    touch(tmp_path, "JHU-AIEM/cuboids/2018-03-15_15-50-00_15-55-00_school_G339.json")
    found = meva(tmp_path, "meva.sets=[contrib/JHU-AIEM]")
    assert found.entries[0].video_id == "2018-03-15.15-50-00.15-55-00.school.G339"


def test_union_reads_all_files_of_its_sets(tmp_path: Path) -> None:
    touch(tmp_path, f"kitware/{CLIP}.activities.yml", f"CMU-v2/{CLIP}.json")
    found = meva(tmp_path, "meva.sets=[kitware, CMU-v2]", "meva.unite=union")
    (entry,) = found.entries
    assert entry.annotation_set == "kitware+CMU-v2"
    assert [(p.annotation_set, p.format, p.dialect, p.files) for p in entry.parts] == [
        ("kitware", "kpf", "", 1),
        ("CMU-v2", "actev-json", "inclusive", 1),
    ]
    assert not found.issues


def test_a_set_that_holds_a_clip_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, f"a/kitware/{CLIP}.activities.yml", f"b/kitware/{CLIP}.activities.yml")
    found = meva(tmp_path)
    assert [f.parent.parent.name for f in found.entries[0].files] == ["a"]
    assert [(i.reason, i.file) for _, i in found.issues] == [("duplicate", "b/kitware")]


@pytest.mark.parametrize("within", ["", "2018-03-07/16/"])
def test_a_set_that_is_not_known_is_read_as_what_its_files_are(tmp_path: Path, within: str) -> None:
    data = tmp_path / "repository"
    names = [f"{CLIP}.json", f"{CLIP}.activities.yml", f"{OTHER}.activities.yml"]
    touch(data, *(f"contrib/new-team/{within}{name}" for name in names))
    touch(data, f"kitware/{within}{CLIP}.activities.yml")
    for folder in (data, data / "contrib", data / "contrib/new-team"):
        found = meva(folder, "meva.sets=[new-team]")
        read = {e.video_id: (e.annotation_set, e.format, e.dialect) for e in found.entries}
        assert read[CLIP] == ("new-team", "actev-json", "")  # the boxes tell the dialect
        assert read[OTHER] == ("new-team", "kpf", "")
        told = [(v, i.reason, i.action, i.detail) for v, i in found.issues]
        assert (OTHER, "unknown_set", "noted", "set new-team, read as kpf") in told
        assert len(told) == 2
    cuboids = f"{CLIP.replace('.', '_')}.json"
    touch(data, f"contrib/JHU-next/{within}{cuboids}")
    (entry,) = meva(data, "meva.sets=[JHU-next]").entries
    assert (entry.annotation_set, entry.format) == ("JHU-next", "cuboids")
    assert len(meva(data, "meva.sets=[JHU-AIEM]").entries) == 1
    assert [e.annotation_set for e in meva(data).entries] == ["kitware"]
    with pytest.raises(SettingsError, match="did you mean new-team"):
        meva(data, "meva.sets=[new-tem]")


def test_kpf_of_one_actor_names_the_json_that_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, f"CMU-v2/{CLIP}.activities.yml", f"kitware/{OTHER}.activities.yml")
    found = {
        e.video_id: e.no_geometry for e in meva(tmp_path, "meva.sets=[CMU-v2, kitware]").entries
    }
    assert found == {CLIP: one_actor("kpf", ("actev-json", "kpf"), CLIP), OTHER: ""}
    assert f"{CLIP}.json, which is missing" in found[CLIP]
    touch(tmp_path, f"UMD-v1-val/{VIDEO}.activities.yml")
    (entry,) = virat(tmp_path).entries
    assert f"{VIDEO}.json, which is missing" in entry.no_geometry


def test_geometry_apart_from_its_activities_is_named(tmp_path: Path) -> None:
    touch(tmp_path, f"a/kitware/{CLIP}.activities.yml", f"b/kitware/{CLIP}.geom.yml")
    found = meva(tmp_path)
    assert [f.name for f in found.entries[0].files] == [f"{CLIP}.activities.yml"]
    assert [p.name for p in found.unplaced] == [f"{CLIP}.geom.yml"]


def test_a_pipe_in_a_corpus_costs_itself_alone(tmp_path: Path) -> None:
    touch(tmp_path, f"kitware/{CLIP}.activities.yml")
    os.mkfifo(tmp_path / "kitware" / f"{OTHER}.activities.yml")
    os.mkfifo(tmp_path / f"{CLIP}.avi")
    found = meva(tmp_path)
    assert [(e.video_id, e.video) for e in found.entries] == [(CLIP, None)]
    told = sorted((v, i.reason, i.action) for v, i in found.issues)
    assert told == [(CLIP, "unreadable", "noted"), (OTHER, "unreadable", "quarantined")]


def test_events_may_stand_in_the_mapping_alone(tmp_path: Path) -> None:
    names = [f"{VIDEO}.viratdata.{k}.txt" for k in ("objects", "mapping")]
    touch(tmp_path, *names)
    assert len(virat(tmp_path).entries[0].files) == 2


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path, f"elsewhere/kitware/{CLIP}.activities.yml")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").symlink_to(tmp_path / "elsewhere")
    (data / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    found = meva(data)
    assert len(found.entries) == 1
    assert not found.issues


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("meva", [], "no MEVA annotation below"),
        ("meva", [f"CMU-v2/{CLIP}.json"], "but of CMU-v2"),
        ("meva", [f"mine/{CLIP}.activities.yml"], "but of mine; name them with --set meva.sets"),
        ("meva", [f"kitware/{CLIP}.geom.yml"], "lies in no folder|no MEVA annotation"),
        ("virat", [], "no VIRAT annotation below"),
    ],
)
def test_nothing_found_says_what_was_looked_for(
    tmp_path: Path, name: str, files: list[str], message: str
) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=message):
        sources.get(name).discover(tmp_path, Settings.load())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*none"):
        meva(tmp_path / "none")


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean kitware"):
        meva(tmp_path, "meva.sets=[kitwear]")
    with pytest.raises(SettingsError, match="kpf, text, json"):
        virat(tmp_path, "virat.prefer=[yaml]")


VIDEO = "VIRAT_S_000200_03_000657_000899"


def test_virat_reads_the_first_kind_that_is_there(tmp_path: Path) -> None:
    text = [f"text/{VIDEO}.viratdata.{k}.txt" for k in ("events", "objects", "mapping")]
    touch(tmp_path, *text, f"diva/train/{VIDEO}.activities.yml", f"videos/{VIDEO}.mp4")
    touch(tmp_path, "text/VIRAT_S_010000_00_000000_000165.viratdata.objects.txt")
    found = virat(tmp_path)
    (entry,) = found.entries
    assert (entry.annotation_set, entry.format, entry.namespace) == ("diva", "kpf", "virat")
    assert (entry.scene, entry.session) == ("0002", "VIRAT_S_000200")
    assert (entry.width, entry.height) == (1280, 720)
    assert entry.video is not None
    assert {i.reason for _, i in found.issues} == {"other_set", "empty_clip"}
    assert len(found.unplaced) == 1
    (entry,) = virat(tmp_path, "virat.prefer=[text, kpf]").entries
    assert (entry.annotation_set, entry.format, len(entry.files)) == ("release2", "virat-text", 3)
    assert entry.namespace == "virat-text"


def test_short_virat_names_are_their_own_session(tmp_path: Path) -> None:
    assert session_of("VIRAT_S_000001") == "VIRAT_S_000001"
    touch(tmp_path, "VIRAT_S_000001.activities.yml", "VIRAT_S_010000_00_000000_000165.json")
    first, second = virat(tmp_path).entries
    assert (first.scene, first.width) == ("0000", 1920)
    assert (second.scene, second.width, second.dialect) == ("0100", 1280, "nist")


def test_the_camera_table_covers_every_camera_of_the_sample(shared: Path) -> None:
    table = cameras()
    found = meva(shared / "data" / "meva")
    assert {e.camera for e in found.entries} <= set(table)


def test_sources_are_found_by_name_file_and_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "elsewhere"

        def load(self) -> object:
            return sources.get("meva")

    monkeypatch.setattr(sources, "entry_points", lambda group: [Point()])
    assert sources.get("elsewhere") is sources.get("meva")
    assert sources.names() == ["demo", "elsewhere", "meva", "virat"]
    with pytest.raises(SettingsError, match="did you mean meva"):
        sources.get("mev")


@pytest.mark.parametrize("suffix", [".avi", ".M4V", ".flv", ".m2ts", ".WMV"])
def test_videos_of_every_suffix(suffix: str, tmp_path: Path) -> None:
    for source, name in (("meva", CLIP), ("virat", VIDEO)):
        folder = "kitware" if source == "meva" else "diva/train"
        touch(tmp_path / source, f"{folder}/{name}.activities.yml", f"videos/{name}{suffix}")
        find = meva if source == "meva" else virat
        (entry,) = find(tmp_path / source).entries
        assert entry.video is not None
        assert entry.video.name == f"{name}{suffix}"


def test_a_raw_stream_is_told(tmp_path: Path) -> None:
    touch(tmp_path, f"kitware/{CLIP}.activities.yml", f"videos/{CLIP}.r13.h264")
    found = meva(tmp_path)
    assert found.entries[0].video is None
    assert [(v, i.reason, i.file) for v, i in found.issues] == [
        (CLIP, "raw_stream", f"{CLIP}.r13.h264")
    ]
