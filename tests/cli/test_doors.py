"""What a stranger does at the doors: a mistake ends in one line, and mended, in the same bytes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from builds import bytes_of
from click.testing import CliRunner, Result

import tinyvirat_build as tvb
from tinyvirat_build import store
from tinyvirat_build.cli import main
from tinyvirat_build.errors import DataError, SettingsError

SETTINGS = ("--set", "demo.scale=0.05", "--set", "filter.min_samples=1")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def one_line(result: Result) -> str:
    """The only line of a refusal."""
    assert result.exit_code == 2, result.output
    (line,) = result.output.strip().splitlines()
    assert line.startswith("error: ")
    assert "internal error" not in line
    return line


def state(out: Path) -> dict[str, str]:
    """The bytes of a build; of an index, whose key knows times of change, what it holds."""
    indexed = {f"units/{p.relative_to(out / 'units')}": p for p in out.glob("units/index/*/*/*")}
    found = bytes_of(out)
    return found | {name: _without_key(p) for name, p in indexed.items() if name in found}


def _without_key(unit: Path) -> str:
    with zipfile.ZipFile(unit) as archive:
        return store.unit_digest(unit, archive.namelist())


def build(data: Path, out: Path, *more: str) -> Result:
    return run(
        "all", "--source", "demo", "--data", data, "--out", out, *SETTINGS,
        "--workers", "1", "--quiet", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert build(data, out).exit_code == 0
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A build of its own to damage."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def _first(folder: Path, pattern: str = "*") -> Path:
    return min(p for p in folder.rglob(pattern) if p.is_file())


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "build.yaml is no YAML": lambda out: (out / "build.yaml").write_text("format: ["),
    "build.yaml is no text": lambda out: (out / "build.yaml").write_bytes(b"\xff\xfe\0"),
    "build.yaml is gone": lambda out: (out / "build.yaml").unlink(),
    "index unit": lambda out: _halve(_first(out / "units" / "index")),
    "parse unit": lambda out: _first(out / "units" / "parse").write_bytes(b""),
    "cut unit": lambda out: _halve(_first(out / "units" / "cut")),
    "all units": lambda out: shutil.rmtree(out / "units"),
    "table": lambda out: _halve(out / "tables" / "clips_filtered.parquet"),
    "all tables": lambda out: shutil.rmtree(out / "tables"),
    "clip": lambda out: _first(out / "clips", "*.mp4").unlink(),
    "published clip": lambda out: _first(out / "TinyVIRAT_V2", "*.mp4").unlink(),
    "class map": lambda out: (out / "TinyVIRAT_V2" / "class_map.json").unlink(),
    "card": lambda out: (out / "TinyVIRAT_V2" / "README.md").unlink(),
    "pack": lambda out: shutil.rmtree(out / "pack"),
    "pack header": lambda out: (out / "pack" / "pack.json").unlink(),
    "shard": lambda out: _first(out / "pack" / "shards").unlink(),
    "truth": lambda out: shutil.rmtree(out / "truth"),
    "statistics": lambda out: shutil.rmtree(out / "stats"),
}


# Which take as long as the whole build.
_LONG = ("build.yaml is no YAML", "all units", "statistics")


@pytest.mark.parametrize(
    "what", [pytest.param(w, marks=pytest.mark.slow) if w in _LONG else w for w in DAMAGE]
)
def test_what_is_damaged_is_made_again(what: str, whole: Path, data: Path, out: Path) -> None:
    DAMAGE[what](out)
    result = build(data, out)
    assert result.exit_code == 0, result.output
    assert state(out) == state(whole)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("format: 1", "format: 99", "layout 99"),
        ("sources:", "sourcesx:", "damaged"),
        ("max_side:", "max_sidex:", "crop.max_side"),
        ("settings:", "settingsx:", "damaged"),
        ("format: 1", "format: [", "build.yaml"),
    ],
)
def test_a_build_file_that_cannot_be_used(old: str, new: str, says: str, out: Path) -> None:
    file = out / "build.yaml"
    file.write_text(file.read_text("utf-8").replace(old, new, 1), "utf-8")
    for command in (["audit"], ["merge"], ["inspect", "abc"], ["verify"], ["sweep"]):
        assert says in one_line(run(*command, "--out", out))


def test_a_folder_of_another_version_is_not_written_over(data: Path, out: Path) -> None:
    file = out / "build.yaml"
    file.write_text(file.read_text("utf-8").replace("format: 1", "format: 99"), "utf-8")
    before = state(out)
    assert "another --out" in one_line(build(data, out))
    assert state(out) == before


def test_the_original_release_is_not_written_over(data: Path, tmp_path: Path) -> None:
    release = tmp_path / "TinyVIRAT_V2" / "tiny_train_v2.json"
    release.parent.mkdir()
    release.write_text("[]")
    assert "'TinyVIRAT_V2' but no build" in one_line(build(data, tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["TinyVIRAT_V2"]
    assert release.read_text() == "[]"


def test_an_empty_name_is_no_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("all", "--source", "demo", "--data", data, "--out", "")
    assert result.exit_code == 2
    assert "the name is empty" in result.output
    assert not list(tmp_path.iterdir())


def test_a_source_twice(data: Path, tmp_path: Path) -> None:
    result = run(
        "all", "--source", "demo", "--source", "demo", "--data", data, "--out", tmp_path / "o"
    )
    assert "'demo' is given 2 times" in one_line(result)


@pytest.mark.parametrize("setting", ["demo.scale=.inf", "encode.quality=99", "encode.quality=-1"])
def test_a_setting_that_cannot_be(setting: str) -> None:
    assert setting.split("=")[0] in one_line(run("config", "--set", setting))


def test_settings_nested_without_end(tmp_path: Path) -> None:
    deep = tmp_path / "deep.yaml"
    deep.write_text("a: " + "[" * 3000)
    assert "deep.yaml" in one_line(run("config", "--config", deep))


def test_verify_names_what_is_broken_in_the_tree(out: Path) -> None:
    (out / "TinyVIRAT_V2" / "tiny_train_v2.json").write_text("[{")
    result = run("verify", "--out", out, "--sample", "1", "--workers", "1")
    assert result.exit_code == 1
    assert "tiny_train_v2.json" in result.stdout
    repaired = run("verify", "--out", out, "--sample", "1", "--workers", "1", "--repair")
    assert repaired.exit_code == 0, repaired.output


def test_a_sweep_begins_at_the_settings_of_the_build(out: Path) -> None:
    clips = tvb.open_build(out).clips
    result = run("sweep", "--out", out, "--workers", "1", "--json")
    assert result.exit_code == 0, result.output
    assert f'"clips":{len(clips)}' in result.stdout.replace(" ", "")


def test_a_copy_of_the_data_gives_the_same_bytes(data: Path, whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dä ta ☃"
    shutil.copytree(data, copy, copy_function=shutil.copy)  # with new times
    link = tmp_path / "link"
    link.symlink_to(copy)
    inside = link / "ö ut"
    assert build(link, inside).exit_code == 0
    assert state(inside) == state(whole)
    assert build(link, inside).exit_code == 0  # its own files are not taken for data
    assert state(inside) == state(whole)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of one video with one activity; the video is not written."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "v.activities.yml").write_text(
        "- { act: {act2: {walks: 1.0}, id2: 1, timespan: [{tsr0: [0, 40]}], "
        "actors: [{id1: 1, timespan: [{tsr0: [0, 40]}]}]}}\n"
    )
    (folder / "v.geom.yml").write_text(
        "".join(f"- {{ geom: {{id1: 1, ts0: {t}, g0: 10 10 40 60}}}}\n" for t in range(41))
    )
    (folder / "v.types.yml").write_text("- { types: {id1: 1, cset3: {person: 1.0}}}\n")
    (tmp_path / "corpus.yaml").write_text("format: kpf\nlabels: {walks: activity_walking}\n")
    return folder


def build_corpus(corpus: Path, *more: str) -> tuple[Result, Path]:
    out = corpus.parent / "out"
    result = run(
        "all", "--source", corpus.parent / "corpus.yaml", "--data", corpus, "--out", out,
        "--set", "filter.min_samples=1", "--workers", "1", "--quiet", *more,
    )  # fmt: skip
    return result, out


def test_annotations_that_cannot_be_read_are_told_by_the_status(corpus: Path) -> None:
    _halve(corpus / "v.geom.yml")
    result, out = build_corpus(corpus, "--until", "plan")
    assert result.exit_code == 1, result.output
    issues = tvb.open_build(out).issues
    (row,) = issues[issues["reason"] == "unreadable"].to_dict("records")
    assert row["file"] == "v.geom.yml"
    assert row["action"] == "quarantined"


@pytest.mark.parametrize(
    "setting", ["by_source.meav.crop.max_side=64", "partition.lists.meav=none", "labels.meav=x"]
)
def test_a_setting_for_a_source_of_no_such_name(setting: str, data: Path, tmp_path: Path) -> None:
    said = one_line(build(data, tmp_path / "out", "--set", setting))
    assert f"setting {setting.split('=')[0].removesuffix('.crop.max_side')}: nothing has" in said


@pytest.mark.parametrize("content", [b"", b"hello, no video\n" * 99])
def test_a_file_that_is_no_video(corpus: Path, content: bytes) -> None:
    (corpus / "v.avi").write_bytes(content)
    result, out = build_corpus(corpus)
    assert result.exit_code == 1, result.output
    built = tvb.open_build(out)
    assert built.clips["reason"].tolist() == ["unreadable"]
    (detail,) = built.issues["detail"][built.issues["stage"] == "index"]
    assert detail.startswith("v.avi: ")  # where the data lie is no part of a build


def test_a_link_that_leads_nowhere_is_a_missing_video(corpus: Path) -> None:
    (corpus / "v.avi").symlink_to(corpus / "nowhere.avi")
    result, _ = build_corpus(corpus)
    assert "not below --data: 1 source video (v)" in one_line(result)


@pytest.mark.parametrize("name", ["v.h264", "v.HEVC", "v.yuv", "v.mjpeg"])
def test_a_raw_stream_is_named_and_not_fetched(name: str, corpus: Path) -> None:
    (corpus / name).write_bytes(b"\0\0\0\1")
    result, out = build_corpus(corpus)
    said = one_line(result)
    assert f"raw streams have no times: put {name} into a container" in said
    assert "fetch" not in said
    issues = tvb.open_build(out).issues
    assert issues["file"][issues["reason"] == "raw_stream"].tolist() == [name]
    (corpus / "v.mp4").write_bytes(b"no video")  # but a file of a video's name: that is read
    build_corpus(corpus)
    assert not {"raw_stream"} & set(tvb.open_build(out).issues["reason"])


def test_doctor_tells_by_its_status(corpus: Path) -> None:
    yaml = corpus.parent / "corpus.yaml"
    assert run("doctor", "--source", yaml, "--data", corpus).exit_code == 0
    (corpus / "v.activities.yml").unlink()
    assert run("doctor", "--source", yaml, "--data", corpus).exit_code == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ZeroDivisionError("by\nzero"), "internal error: ZeroDivisionError: by zero; run with"),
        (SettingsError("two\nlines"), "two lines"),
        (DataError("bad"), "bad"),
        (DataError("\x1b[31mred\u202e"), "error: \\x1b[31mred\\u202e"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some and run"),
        (MemoryError(), "fewer --workers"),
    ],
)
def test_every_error_ends_in_one_line(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setitem(main.commands, "fails", fails)
    result = run("fails")
    assert result.exit_code == 2
    (line,) = result.output.strip().splitlines()
    assert says in line
    debugged = run("--debug", "fails")
    assert debugged.exception is error


def test_a_full_disk(small_disk: Path, data: Path, whole: Path) -> None:
    out = small_disk / "out"
    assert "no space left" in one_line(build(data, out))
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    assert build(data, out).exit_code == 0
    assert state(out) == state(whole)
    assert not [p for p in out.rglob("*") if p.name.endswith(store.PARTIAL)]


@pytest.mark.skipif(sys.platform != "linux", reason="limits are as Linux has them")
@pytest.mark.parametrize("limit", [pytest.param("-v 2500000", marks=pytest.mark.slow), "-n 16"])
def test_a_build_under_a_limit_is_whole_or_told_and_made_whole(
    limit: str, data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tinyvirat_build", "all", "--source", "demo", *SETTINGS]
    command += ["--data", str(data), "--out", str(out), "--workers", "2", "--quiet"]
    limited = ["bash", "-c", f'ulimit {limit} && exec "$@"', "limited", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert state(out) == state(whole)
    else:
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert "internal error" not in line
        assert build(data, out).exit_code == 0
        assert state(out) == state(whole)


@pytest.mark.skipif(sys.platform != "linux", reason="limits are as Linux has them")
def test_little_memory_makes_nothing_less(whole: Path, data: Path) -> None:
    command = [sys.executable, Path(__file__).parents[1] / "starved.py", whole, data]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in told] == ["index", "cut", "films", "strips"]
    for _, *found in told:  # a codec that ends its process costs the video until the next run
        assert {"lacked", "whole"} <= set(found) <= {"lacked", "whole", "died"}


def test_a_disk_that_cannot_be_written(small_disk: Path, data: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert "give a writable --out" in one_line(build(data, small_disk / "out"))


def test_a_stage_that_may_not_run_changes_nothing(out: Path) -> None:
    before = state(out)
    refused = run("publish", "--out", out, "--set", "chunk.length=32", "--workers", "1")
    assert "stage chunk is not finished" in one_line(refused)
    assert state(out) == before
    assert run("publish", "--out", out, "--workers", "1").exit_code == 0


def test_the_summary_is_of_what_was_run(out: Path) -> None:
    more = ("--set", "chunk.length=32", "--until", "filter", "--workers", "1")
    data = tvb.open_build(out).data
    result = run("all", "--source", "demo", "--data", data, "--out", out, *SETTINGS, *more)
    assert result.exit_code == 0, result.output
    clips = len(tvb.open_build(out).table("clips_filtered"))
    assert f"{clips:,} clips planned" in result.output


OTHER = ("--set", "merge.threshold=0.9", "--set", "chunk.length=40")


def test_tables_of_an_earlier_run_are_not_taken_for_this_ones(
    data: Path, whole: Path, out: Path
) -> None:
    assert run("merge", "--out", out, *OTHER, "--quiet").exit_code == 0
    says = "is of an earlier run, with other settings or data than build.yaml has now; run `tinyvi"
    for command in (["verify"], ["audit"], ["inspect", "a"]):
        assert says in one_line(run(*command, "--out", out))
    assert says in one_line(run("compare", out, whole))
    assert "not filtered yet" in one_line(run("stats", "--figures", "--out", out))
    assert run("filter", "--out", out).exit_code == 2  # the stages between are not run either
    assert run("all", "--until", "filter", "--out", out, "--quiet").exit_code == 0
    planned = out.parent / "planned"
    assert build(data, planned, *OTHER, "--until", "filter").exit_code == 0
    audits = [json.loads(run("audit", "--out", o, "--json").output) for o in (out, planned)]
    assert audits[0] == audits[1]
    assert run("compare", out, planned).exit_code == 0
    assert build(data, out).exit_code == 0
    assert state(out) == state(whole)


@pytest.mark.parametrize(
    ("stage", "setting"),
    [
        pytest.param("filter", "publish.public=true", marks=pytest.mark.slow),
        pytest.param("filter", "encode.codec=h264-crf", marks=pytest.mark.slow),
        pytest.param("filter", "encode.pack=false", marks=pytest.mark.slow),
        ("partition", "filter.min_samples=3"),
    ],
)
def test_settings_of_a_later_stage_make_its_tables_old(
    stage: str, setting: str, data: Path, out: Path
) -> None:
    assert run(stage, "--out", out, "--set", setting, "--quiet").exit_code == 0
    assert "clips.parquet is of an earlier run" in one_line(run("verify", "--out", out))
    assert run("all", "--out", out, "--quiet").exit_code == 0  # with the build's own settings
    fresh = out.parent / "fresh"
    assert build(data, fresh, "--set", setting).exit_code == 0
    assert state(out) == state(fresh)
    assert run("verify", "--out", out).exit_code == 0


def test_plan_changes_nothing(out: Path) -> None:
    before = state(out)
    assert run("plan", "--out", out, "--set", "publish.public=true", "--quiet").exit_code == 0
    assert state(out) == before
    assert run("verify", "--out", out).exit_code == 0


def test_looking_ahead_takes_nothing_away(whole: Path, out: Path) -> None:
    clips = {p.relative_to(out) for p in (out / "clips").rglob("*.mp4")}
    nothing = ("--set", "filter.min_samples=999")
    assert run("filter", "--out", out, *nothing, "--quiet").exit_code == 0
    assert {p.relative_to(out) for p in (out / "clips").rglob("*.mp4")} == clips
    back = ("--set", "filter.min_samples=1")
    result = run("all", "--out", out, *back)
    assert result.exit_code == 0
    assert json.loads((out / "log" / "last-run.json").read_text())["worked"]["cut"] == 0
    assert state(out) == state(whole)


def test_a_planned_clip_that_the_filter_drops_is_found(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = build(data, out, "--until", "filter", "--set", "filter.min_samples=20")
    assert result.exit_code == 0
    opened = tvb.open_build(out)
    dropped = {*opened.table("clips_planned")["clip_id"]} - {
        *opened.table("clips_filtered")["clip_id"]
    }
    assert run("inspect", min(dropped), "--out", out).exit_code == 0


def test_missing_videos_leave_the_ledger_of_the_plan(data: Path, tmp_path: Path) -> None:
    build(data, tmp_path / "first", "--until", "index")
    copy = tmp_path / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*.mp4", "*.avi", "*.mkv"))
    assert "not below --data: " in one_line(build(copy, tmp_path / "out"))
    balance = tvb.open_build(tmp_path / "out").table("balance")
    assert {"parse", "crop", "filter"} <= set(balance["stage"].astype(str))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": []}, "no source"),
        ({"workers": 0}, "workers is 1 or more, found 0"),
        ({"limit": 0}, "limit is 1 or more, found 0"),
        ({"settings": {"chunk.length": object()}}, "a setting is no object"),
    ],
)
def test_the_librarys_door(options: dict[str, Any], says: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=says):
        tvb.build(**({"source": "demo", "data": data, "out": tmp_path / "out"} | options))


def test_a_build_that_plans_nothing_says_so(data: Path, tmp_path: Path) -> None:
    more = ("--set", "crop.max_side=10", "--set", "demo.scale=0.05", "--until", "filter")
    arguments = ["all", "--source", "demo", "--data", data, "--out", tmp_path / "out", *more]
    result = run(*arguments, "--workers", "1")
    assert result.exit_code == 1, result.output
    assert "No clip was planned" in result.output


def test_a_script_needs_no_main_guard(data: Path, whole: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import tinyvirat_build as tvb\n"
        f"settings = {{'demo.scale': 0.05, 'filter.min_samples': 1}}\n"
        f"tvb.build('demo', {str(tmp_path / 'out')!r}, data={str(data)!r}, settings=settings, "
        "workers=2)\nprint('once')\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout == "once\n", done.stderr
    assert state(tmp_path / "out") == state(whole)


def test_an_interrupt_is_one_line_and_loses_nothing(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tinyvirat_build", "all", "--source", "demo"]
    command += ["--data", str(data), "--out", str(out), *SETTINGS, "--workers", "2", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (out / "build.yaml").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert re.fullmatch(
        r"stopping( after .+)?\n"
        r"stopped; what is finished stays\. To go on: tinyvirat-build all --source demo .+\n",
        said,
    )
    assert build(data, out).exit_code == 0
    assert state(out) == state(whole)


def test_what_is_told_is_told_to_programs_too(corpus: Path) -> None:
    """A status of 1 has its one line, also where nothing else is said."""
    (corpus / "w.activities.yml").write_text("- { act: ]\n")
    (corpus / "w.geom.yml").write_text("")
    quiet, out = build_corpus(corpus, "--until", "filter")
    assert quiet.exit_code == 1
    assert quiet.output == (
        f"{out}: 1 annotated video cannot be read; tables/issues.parquet says why\n"
    )
    told = json.loads(run("all", "--out", out, "--until", "filter", "--quiet", "--json").stdout)
    assert (told["status"], told["clips"], told["unread"]) == (1, 1, 1)
    assert f"{told['shortfall']}\n" == quiet.output
    source = corpus.parent / "corpus.yaml"
    examined = run("doctor", "--source", source, "--data", corpus, "--json")
    (found,) = json.loads(examined.stdout)["sources"]
    assert (examined.exit_code, found["annotated"], len(found["problems"])) == (1, 2, 1)
