"""A user's own corpus described by a YAML file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import tinyvirat_build as tvb
from tinyvirat_build import labels, sources
from tinyvirat_build.ask.doctor import diagnose
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.formats.videos import VIDEO_SUFFIXES
from tinyvirat_build.records import issues_frame
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery
from tinyvirat_build.sources.described import KEYS
from tinyvirat_build.sources.parse import parse_entry
from tinyvirat_build.store import to_arrow


def corpus(tmp_path: Path, text: str, *files: str) -> Path:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path = tmp_path / "crossing.yaml"
    path.write_text(text)
    return path


def find(path: Path, data: Path | None = None, *overrides: str) -> Discovery:
    source = sources.get(str(path))
    folder = data or source.default_data(path.parent / "out")
    assert folder is not None
    return source.discover(folder, Settings.load(overrides=overrides))


def test_the_pedestrians_are_read(shared: Path, tmp_path: Path) -> None:
    path = corpus(
        tmp_path,
        "format: kpf\nwidth: 768\nheight: 576\nfps: 10\n"
        "labels: {activity_walking: activity_walking, activity_standing: [], Talking: [Talking]}\n",
    )
    (entry,) = find(path, shared / "data" / "pedestrians").entries
    assert (entry.source, entry.video_id, entry.fps) == ("crossing", "vtest", "10")
    assert entry.video is not None
    parsed = parse_entry(entry, Settings.load(), width=768, height=576)
    assert parsed.balance["records_in"].tolist() == [70]
    counts = parsed.activities["labels"].map(len).groupby(parsed.activities["name"]).agg(["size"])
    assert counts["size"].to_dict() == {
        "Talking": 1,
        "activity_standing": 8,
        "activity_walking": 61,
    }
    assert parsed.activities["labels"].map(len).sum() == 62
    assert parsed.issues.empty


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_every_suffix_is_found(suffix: str, tmp_path: Path) -> None:
    """Whatever its case; of several files of a name the one in a common container counts."""
    path = corpus(
        tmp_path, "format: kpf\n", "a.activities.yml", "b.activities.yml", "c.activities.yml",
        f"a{suffix}", f"b{suffix.upper()}", f"c{suffix}", "c.ts",
    )  # fmt: skip
    videos = {e.video_id: e.video and e.video.name for e in find(path).entries}
    assert (videos["a"], videos["b"]) == (f"a{suffix}", f"b{suffix.upper()}")
    assert videos["c"] == (
        f"c{suffix}" if suffix in (".avi", ".mkv", ".mov", ".mp4", ".mpg") else "c.ts"
    )


def test_paths_groups_and_regions(tmp_path: Path) -> None:
    path = corpus(
        tmp_path,
        "format: actev-json\ndialect: exclusive\nannotations: truth\nvideos: film\n"
        "group: 'cam\\d_(day\\d)'\n"
        "regions:\n  - ignore: [[0, 0], [9, 0], [9, 9]]\n    videos: 'cam1_.*'\n",
        "truth/a/cam1_day1.json",
        "truth/b/cam2_day1.json",
        "truth/b/cam2_day2.json",
        "film/cam1_day1.MP4",
        "film/cam3_day1.mp4",
    )
    first, second, third = find(path).entries
    assert [e.session for e in (first, second, third)] == ["day1", "day1", "day2"]
    assert (first.format, first.dialect) == ("actev-json", "exclusive")
    assert first.video is not None
    assert second.video is None
    assert (len(first.regions), len(second.regions)) == (1, 0)
    assert [video for video, _ in find(path).videos] == ["cam1_day1", "cam3_day1"]


def test_groups_of_a_table(tmp_path: Path) -> None:
    path = corpus(
        tmp_path,
        "format: kpf\ngroup: {file: t.csv, column: day}",
        *(f"{v}.activities.yml" for v in "abc"),
    )
    (tmp_path / "t.csv").write_text("video,day\na,one\nb,one\n")
    assert [e.session for e in find(path).entries] == ["one", "one", "c"]
    assert [(v, i.reason) for v, i in find(path).issues] == [("c", "no_group")]
    for text, message in (
        ("video,date\na,one\n", r"t\.csv:1: no column 'day'"),
        ("video,day\na,1\nb,1\na,2\n", r"t\.csv:4: 'a' occurs twice"),
        ("video,day\na,\0\n", "t.csv"),
        ("video,day\n,1\n", r"t\.csv:2: takes a video and its group"),
        ('video,day\n"a,1\n', "cannot read .*t.csv"),
    ):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(SettingsError, match=message):
            sources.get(str(path))


def test_a_video_that_the_expression_misses_is_told(tmp_path: Path) -> None:
    files = ("day1_a.activities.yml", "night_b.activities.yml")
    found = find(corpus(tmp_path, "format: kpf\ngroup: 'day\\d'\n", *files))
    assert [e.session for e in found.entries] == ["day1", "night_b"]
    assert [(v, i.reason) for v, i in found.issues] == [("night_b", "no_group")]


def test_labels_by_file_by_name_and_by_setting(tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: kpf\nlabels: mine.csv\n", "v.activities.yml")
    (tmp_path / "mine.csv").write_text("name,labels,note\nwalk,activity_walking,\n")
    assert find(path).entries[0].mapping == (("walk", ("activity_walking",)),)
    assert find(path, None, "labels.crossing=virat-to-tinyvirat").entries[0].mapping is None
    path.write_text("format: kpf\nlabels: virat-to-tinyvirat\n")
    mapping = find(path).entries[0].mapping
    assert mapping is not None
    assert ("Unloading", ()) in mapping
    path.write_text("format: kpf\nlabels: {walk: Walking}\n")
    with pytest.raises(SettingsError, match=r"crossing\.yaml: labels: label 'Walking' is not in"):
        find(path)


def test_unsafe_names_are_refused_before_any_path_is_made(tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: kpf\n", "-rf.activities.yml", "good.activities.yml")
    found = find(path)
    assert [e.video_id for e in found.entries] == ["good"]
    assert [(v, i.reason) for v, i in found.issues] == [("-rf", "unsafe_name")]


def test_what_is_no_file_or_has_no_name_costs_itself_alone(tmp_path: Path) -> None:
    names = ("caf\udce9", "a\u202eb", "a\nb", "a\x85b", "e\u0301")
    path = corpus(tmp_path, "format: kpf\n", *(f"{n}.activities.yml" for n in names), "good.mp4")
    os.mkfifo(tmp_path / "good.activities.yml")
    os.mkfifo(tmp_path / "e\u0301.mp4")
    (tmp_path / "odd\udce9").mkdir()
    (tmp_path / "odd\udce9" / "x.activities.yml").touch()
    found = find(path)
    assert [(e.video_id, e.video) for e in found.entries] == [("e\u0301", None)]
    told = sorted((v, i.reason, i.action) for v, i in found.issues)
    assert told == [
        ("a\\nb", "unsafe_name", "quarantined"),
        ("a\\u202eb", "unsafe_name", "quarantined"),
        ("a\\x85b", "unsafe_name", "quarantined"),
        ("caf\\udce9", "unsafe_name", "quarantined"),
        ("e\u0301", "unreadable", "noted"),
        ("good", "unreadable", "quarantined"),
        ("x", "unsafe_name", "quarantined"),
    ]
    to_arrow("issues", issues_frame([i for _, i in found.issues], source="c", video_id="v"))
    assert all(v.isprintable() for v, _ in found.issues)
    (tmp_path / "e\u0301.activities.yml").unlink()
    with pytest.raises(DataError, match=r"no kpf annotation below .*, but .* \((unsafe|unread)"):
        find(path)
    assert "unsafe_name" in diagnose(sources.get(str(path)), tmp_path, Settings.load()).render()


def test_a_missing_folder_of_videos_is_videos_that_are_missing(tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: kpf\nvideos: film\n", "v.activities.yml")
    assert [(e.video_id, e.video) for e in find(path).entries] == [("v", None)]


def test_a_file_of_several_videos_is_each_of_them(tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: actev-json\ndialect: nist\n")
    activities = [
        {
            "activity": "Talking",
            "activityID": i,
            "localization": {f"{v}.mp4": {"5": 1, "9": 0}},
            "objects": [
                {
                    "objectType": "Person",
                    "objectID": 1,
                    "localization": {
                        f"{v}.mp4": {"5": {"boundingBox": dict.fromkeys("xywh", i)}, "9": {}}
                    },
                }
            ],
        }
        for i, v in ((1, "a"), (2, "b"), (3, "b"))
    ]
    tree = {"filesProcessed": ["a.mp4", "b.mp4", "c.mp4"], "activities": activities}
    (tmp_path / "all.activities.json").write_text(json.dumps(tree))
    (tmp_path / "all.file-index.json").write_text("{}")
    (tmp_path / "b.mp4").touch()
    entries = find(path).entries
    assert [(e.video_id, len(e.files), e.video is None) for e in entries] == [
        ("a", 2, True), ("b", 2, False), ("c", 2, True)
    ]  # fmt: skip
    parsed = [parse_entry(e, Settings.load(), width=99, height=99) for e in entries]
    assert [p.activities["activity_id"].tolist() for p in parsed] == [["1"], ["2", "3"], []]
    assert [len(p.issues) for p in parsed] == [0, 1, 0]  # two objects of one id


def test_nothing_there_names_file_and_folder(tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: cuboids\nannotations: truth\n")
    with pytest.raises(DataError, match=r"no folder .*truth"):
        find(path)
    (tmp_path / "truth").mkdir()
    with pytest.raises(DataError, match=r"crossing\.yaml: no cuboids annotation below"):
        find(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fromat: kpf", "unknown key 'fromat' \\(did you mean format\\?\\)"),
        ("name: x", "format: one of kpf, .*, found nothing"),
        ("format: voc", "format: one of kpf, .*, found 'voc'"),
        ("format: kpf\ndialect: nist", "dialect: only actev-json"),
        ("format: actev-json\ndialect: mist", "dialect: one of nist, inclusive, exclusive"),
        ("format: kpf\nlast: inclusive", "last: only csv needs to be told"),
        ("format: csv\nlast: never", "last: one of inclusive, exclusive, found 'never'"),
        ("format: csv\nfirst_frame: true", "first_frame: one of 0, 1, found True"),
        ("format: kpf\nname: meva", "name: 'meva' is taken"),
        ("format: kpf\nname: ../x", "not safe in a path"),
        ("format: kpf\nannotations: 3", "annotations: takes text"),
        ("format: kpf\nwidth: wide", "width: takes a whole number"),
        ("format: kpf\nwidth: 99999999999", "width: takes a whole number of pixels up to 65536"),
        ("format: kpf\nfps: 0", "fps: takes a rate"),
        ("format: kpf\nfps: 1e999999999", "fps: takes a rate"),
        ("format: kpf\nfps: 30/0", "fps: takes a rate"),
        ("format: kpf\nlabels: {a: b, a: c}", "crossing.yaml:2: the key 'a' occurs twice"),
        ("format: kpf\nregions: [{only: [['12'], [3, 4], [5, 1]]}]", "regions\\[0\\].only: takes"),
        ("format: kpf\nregions: [{only: ['12', '34', '51']}]", "regions\\[0\\].only: takes"),
        ("format: kpf\nregions: [{only: [[.nan, 0], [9, 0], [9, 9]]}]", "takes three"),
        ("format: kpf\nregions: [{only: [[.inf, 0], [9, 0], [9, 9]]}]", "takes three"),
        ("format: kpf\nregions: [{only: [[1e300, 0], [9, 0], [9, 9]]}]", "takes three"),
        ("format: kpf\nregions: [{only: [[true, 0], [9, 0], [9, 9]]}]", "takes three"),
        ("format: kpf\nlabels: [a]", "labels: takes name: class pairs"),
        ("format: kpf\nlabels: {a: 3}", "labels.a: takes a class"),
        ("format: kpf\ngroup: '('", "group: no regular expression"),
        ("format: kpf\ngroup: {file: x.csv}", "group: takes a regular expression or"),
        ("format: kpf\ngroup: {file: x.csv, column: y}", "group.file: cannot read"),
        ("format: kpf\ngroup: {file: [x], column: y}", "group.file: takes text"),
        ("format: kpf\nregions: {}", "regions: takes a list"),
        (
            "format: kpf\nregions: [{ignore: [[0, 0], [1, 1]]}]",
            "regions\\[0\\].ignore: takes three",
        ),
        (
            "format: kpf\nregions: [{only: [[0, 0], [2, 2], [2, 0], [0, 2]]}]",
            "lines do not cross",
        ),
        ("format: kpf\nregions: [{inside: []}]", "takes `ignore` or `only`"),
        ("- a", "a corpus is a mapping"),
        ("format: {", "crossing.yaml:1: "),
        ("format: kpf\n\x00", "mend the YAML"),
    ],
)
def test_a_wrong_description_names_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = corpus(tmp_path, text)
    with pytest.raises(SettingsError, match=message) as caught:
        sources.get(str(path))
    assert "crossing.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_description_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*none\.yaml"):
        sources.get(str(tmp_path / "none.yaml"))


def test_the_guides_example_is_a_corpus(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text("utf-8")
    example = guide.split("```yaml\n")[1].split("```")[0]
    files = ("truth/cam1_day1.activities.yml", "truth/cam2_day1.activities.yml", "recordings/x.avi")
    first, second = find(corpus(tmp_path, example, *files)).entries
    assert (first.session, second.session) == ("day1", "day1")
    assert [len(e.regions) for e in (first, second)] == [2, 1]
    keys = {line.split("`")[1] for line in guide.splitlines() if line.startswith("| `")}
    assert keys <= set(KEYS)


NAMES = ("Talking", "activity_standing", "activity_walking")


def test_without_labels_a_name_is_its_own_class(shared: Path, tmp_path: Path) -> None:
    data = shared / "data" / "pedestrians"
    path = corpus(tmp_path, "format: kpf\nwidth: 768\nheight: 576\nfps: 10\n")
    built = tvb.build(path, tmp_path / "out", data=data, until="filter")
    assert built.settings.classes == NAMES  # sorted, and written to build.yaml
    assert {x for own in built.table("clips_planned")["labels"] for x in own} == set(NAMES)
    assert not (built.issues["reason"] == "unknown_label").any()
    found = diagnose(sources.get(str(path)), data, Settings.load())
    assert not found.problems
    assert {name.name: name.labels for name in found.names} == {name: (name,) for name in NAMES}
    again = tvb.build(path, tmp_path / "out", data=data, until="filter")
    assert again.settings == built.settings


@pytest.mark.parametrize(
    ("text", "overrides", "classes"),
    [
        ("classes: [Talking, waits]\n", {}, ("Talking", "waits")),
        ("classes: own.csv\n", {}, ("Talking", "waves")),
        ("classes: tinyvirat-26\n", {}, labels.load_classes("tinyvirat-26")),
        ("labels: identity\n", {}, labels.load_classes("tinyvirat-26")),
        ("labels: {Talking: chats}\nclasses: auto\n", {}, ("chats",)),
        ("", {"classes": "meva-37"}, labels.load_classes("meva-37")),
        ("classes: [Talking]\n", {"classes": ["waits", "Talking"]}, ("waits", "Talking")),
    ],
)
def test_classes_of_a_corpus(
    shared: Path, tmp_path: Path, text: str, overrides: dict[str, object], classes: tuple[str, ...]
) -> None:
    (tmp_path / "own.csv").write_text("name\nTalking\nwaves\n")
    path = corpus(tmp_path, "format: kpf\nwidth: 768\nheight: 576\n" + text)
    data = shared / "data" / "pedestrians"
    built = tvb.build(path, tmp_path / "out", data=data, until="parse", settings=overrides)
    assert labels.load_classes(built.settings.classes) == classes
    assert set(built.table("activities")["labels"].explode().dropna()) <= set(classes)


def test_a_map_says_of_which_classes_it_speaks(shared: Path, tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: kpf\nlabels: meva-to-tinyvirat\nclasses: auto\n")
    with pytest.raises(SettingsError, match="name the class list that the map speaks of"):
        tvb.build(path, tmp_path / "out", data=shared / "data" / "pedestrians", until="parse")


@pytest.mark.parametrize("value", ["[]", "[a, a]", "3", "{a: b}"])
def test_bad_classes_of_a_corpus_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="classes: "):
        sources.get(str(corpus(tmp_path, f"format: kpf\nclasses: {value}\n")))


def test_of_several_corpora_none_speaks_for_the_others(shared: Path, tmp_path: Path) -> None:
    data = shared / "data" / "pedestrians"
    paths = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.yaml"
        path.write_text("format: kpf\nwidth: 768\nheight: 576\n")
        paths.append(path)
    built = tvb.build(paths, tmp_path / "out", data=data, until="parse")
    assert built.settings.classes == "tinyvirat-26"


def test_a_pair_of_tables_is_each_video_that_it_names(tmp_path: Path) -> None:
    path = corpus(
        tmp_path,
        "format: csv\nfirst_frame: 1\nlast: inclusive\nfps: 25\nlabels: {walks: Talking}\n"
        "group: {file: groups.activities.csv, column: day}\n",
        "a.mp4",
    )
    (tmp_path / "groups.activities.csv").write_text("video,day\na,1\nb,1\n")
    (tmp_path / "boxes.csv").write_text(
        "video,track,frame,x1,y1,x2,y2\na.mp4,1,1,0,0,9,9\na.mp4,1,5,0,0,9,9\nc,1,1,0,0,9,9\n"
    )
    (tmp_path / "activities.csv").write_text(
        "video,activity,name,start,end,tracks\na.mp4,1,walks,1,5,1\nb,1,walks,1,5,1\n,2,walks,1,5,1\n"
    )
    found = find(path)
    assert [(e.video_id, e.session, len(e.files)) for e in found.entries] == [
        ("a", "1", 2), ("b", "1", 2), ("c", "c", 2)
    ]  # fmt: skip
    assert found.entries[0].video == tmp_path / "a.mp4"
    assert [i.line for _, i in found.issues if i.reason == "malformed"] == [4]
    parsed = [parse_entry(e, Settings.load(), width=99, height=99) for e in found.entries]
    (row,) = parsed[0].activities.itertuples()
    assert (row.start, row.end, row.labels) == (0, 5, ("Talking",))
    assert len(parsed[0].boxes) == 5
    assert [p.balance["dropped"].tolist() for p in parsed] == [[0], [1], [0]]


def test_a_table_that_cannot_be_read_is_one_video_that_falls(tmp_path: Path) -> None:
    path = corpus(tmp_path, "format: csv\n", "activities.csv")
    (entry,) = find(path).entries
    parsed = parse_entry(entry, Settings.load(), width=99, height=99)
    assert parsed.issues["detail"].tolist() == [
        "no column 'video'; begin the table with a line that names video, activity, name, start, "
        "end, tracks"
    ]


def test_the_descriptions_own_tables_are_no_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "format: dive\nlabels: l.csv\ngroup: {file: g.csv, column: day}\n"
    corpus(tmp_path, text, "cam1.csv", "cam1.json", "meta.json")
    (tmp_path / "g.csv").write_text("video,day\ncam1,1\n")
    (tmp_path / "l.csv").write_text("name,labels\nwalk,activity_walking\n")
    monkeypatch.chdir(tmp_path)
    for data in (None, tmp_path):
        (entry,) = find(Path("crossing.yaml"), data).entries
        assert (entry.video_id, len(entry.files)) == ("cam1", 2)
