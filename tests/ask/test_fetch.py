from __future__ import annotations

import io
import json
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="moto, the S3 server of tests, is not installed")

from buckets import Gate, served
from click.testing import CliRunner, Result

from tinyvirat_build.ask.fetch import Asked, fetch_corpus
from tinyvirat_build.cli import main
from tinyvirat_build.settings import Settings

DROPS = "drops-123-r13/2018-03-07/16"
ARCHIVE = "annotations/repo.tar.gz"
SETS = ["filter.min_samples=1", "meva.sets=[kitware]"]
SMALL, LARGE = 40, 400  # pixels: a clip, and none at all


def clip(camera: str, date: str = "2018-03-07") -> str:
    return f"{date}.16-50-01.16-55-01.bus.{camera}"


def kpf(name: str, side: int, activity: str = "person_opens_vehicle_door") -> dict[str, str]:
    """One person of that size, who does something for a hundred frames."""
    span = "timespan: [{tsr0: [100, 199]}]"
    boxes = [
        f"- {{ geom: {{id1: 1, id0: {n}, ts0: {n}, g0: 500 400 {500 + side} {400 + side}}} }}"
        for n in range(100, 200)
    ]
    act = f"act2: {{{activity}: 1.0}}, id2: 1, {span}, actors: [{{id1: 1, {span}}}]"
    return {
        f"{name}.activities.yml": f"- {{ act: {{ {act} }} }}\n",
        f"{name}.geom.yml": "\n".join(boxes) + "\n",
        f"{name}.types.yml": "- { types: { id1: 1, cset3: { person: 1.0 } } }\n",
    }


WORLD = {  # camera: side of its actor, runs of its video in the bucket
    "G331": (SMALL, ("r13", "r0")),
    "G336": (SMALL, ("r0",)),
    "G340": (LARGE, ("r13",)),  # needed by nobody
    "G419": (SMALL, ("r13",)),
}
NEEDED = ["G331", "G336", "G419"]


def body(key: str) -> bytes:
    return random.Random(key).randbytes(300_000 + len(key))


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for camera, (side, _) in WORLD.items():
            for name, text in kpf(clip(camera), side).items():
                info = tarfile.TarInfo(f"repo/annotation/kitware/2018-03-07/16/{name}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[Gate]:
    with served() as gate:
        gate.put(ARCHIVE, archive())
        for camera, (_, runs) in WORLD.items():
            for run in runs:
                key = f"{DROPS}/{clip(camera)}.{run}.avi"
                gate.put(key, body(key))
        yield gate


@pytest.fixture
def gate(server: Gate, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setenv("no_proxy", "*")
    server.behave()
    return server


@pytest.fixture(scope="module")
def planned(server: Gate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with annotations and their plan, which takes a second to make."""
    data = tmp_path_factory.mktemp("planned")
    asked = replace(of(server, data), annotations=f"{server.address}/{ARCHIVE}", dry_run=True)
    fetch_corpus(asked, lambda text: None)
    return data


@pytest.fixture
def data(planned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planned, tmp_path / "data"))


def of(gate: Gate, data: Path, **more: Any) -> Asked:
    settings = Settings.load(overrides=SETS)
    return Asked(
        "meva", data, settings, bucket=gate.address, quiet=True, wait=lambda s: None, workers=1,
        **more,
    )  # fmt: skip


def key(camera: str) -> str:
    run = WORLD[camera][1][0]
    return f"{DROPS}/{clip(camera)}.{run}.avi"


def videos(data: Path) -> dict[str, bytes]:
    return {p.relative_to(data).as_posix(): p.read_bytes() for p in data.rglob("*.avi")}


def cli(gate: Gate, data: Path, *args: str) -> Result:
    sets = [f"--set={one}" for one in SETS]
    command = ["fetch", "--source=meva", "--data", str(data), "--bucket", gate.address, "--quiet"]
    return CliRunner().invoke(main, [*command, "--workers=1", *sets, *args])


def test_annotations_come_first_then_only_the_videos_that_have_clips(
    gate: Gate, tmp_path: Path
) -> None:
    result = cli(gate, tmp_path, "--annotations", f"{gate.address}/{ARCHIVE}")
    assert result.exit_code == 0, result.output
    assert "12 files of annotations" in result.output
    assert "3 fetched, 0 here before, 0 failed" in result.output
    assert videos(tmp_path) == {key(c): body(key(c)) for c in NEEDED}
    asked = [k for k, _ in gate.asked if not k.startswith("?")]
    assert asked[0] == ARCHIVE
    assert sorted(asked[1:]) == [key(c) for c in NEEDED]
    report = json.loads((tmp_path / "fetch-meva.json").read_text())
    assert report["fetched"] == {clip(c): "md5" for c in NEEDED}
    # Again: nothing is asked for.
    gate.asked.clear()
    again = cli(gate, tmp_path)
    assert (again.exit_code, gate.asked) == (0, [])
    worked = json.loads((tmp_path / ".fetch/plan/log/last-run.json").read_text())["worked"]
    assert not any(worked.values())  # no video was read to plan
    assert "0 fetched, 3 here before" in again.output


def test_a_dry_run_tells_the_bytes_and_fetches_no_video(gate: Gate, data: Path) -> None:
    result = cli(gate, data, "--dry-run")
    total = sum(len(body(key(c))) for c in NEEDED)
    assert f"to be fetched: 3, {total:,} bytes" in result.output
    assert (result.exit_code, videos(data)) == (0, {})
    assert not (data / "fetch-meva.json").exists()


@pytest.mark.parametrize(
    ("args", "cameras"),
    [
        (["--cameras=G336,G331"], ["G331", "G336"]),
        (["--dates=2018-03-07", "--cameras=G419"], ["G419"]),
        (["--limit=2"], ["G331", "G336"]),
        (["--limit=3"], NEEDED),  # one between has labels, and no clip comes of it
    ],
)
def test_a_part_is_fetched(gate: Gate, data: Path, args: list[str], cameras: list[str]) -> None:
    assert cli(gate, data, *args).exit_code == 0
    assert sorted(videos(data)) == sorted(key(c) for c in cameras)


def test_a_day_or_camera_that_nothing_has_is_bad_usage(gate: Gate, data: Path) -> None:
    for wrong in ("--cameras=G999", "--dates=2018-03-08"):
        result = cli(gate, data, wrong)
        assert result.exit_code == 2
        assert "no video that is needed has" in result.output


def test_what_fails_is_told_and_the_others_come(gate: Gate, data: Path) -> None:
    gate.faults[key("G331")] = [("status", 403)]
    gate.faults[key("G336")] = [("cut", 1000)]
    report = fetch_corpus(of(gate, data), lambda text: None)
    assert report.status == 1
    assert list(report.failed) == [clip("G331")]
    assert "403" in report.failed[clip("G331")]
    assert sorted(videos(data)) == [key("G336"), key("G419")]
    gate.faults.clear()
    assert fetch_corpus(of(gate, data), lambda text: None).status == 0
    assert sorted(videos(data)) == [key(c) for c in NEEDED]


def test_a_video_that_the_bucket_lacks_is_told(gate: Gate, data: Path) -> None:
    for name, text in kpf(clip("G424"), SMALL).items():
        (data / "kitware" / name).parent.mkdir(exist_ok=True)
        (data / "kitware" / name).write_text(text)
    report = fetch_corpus(of(gate, data), lambda text: None)
    assert report.failed == {clip("G424"): "the bucket has no file of this video"}
    assert len(report.fetched) == 3


def test_the_budget_leaves_out_what_does_not_fit(gate: Gate, data: Path) -> None:
    result = cli(gate, data, "--budget=700000")
    assert result.exit_code == 1
    assert "Left out for the budget: 1 video" in result.output
    assert gate.sent <= 700_000
    assert len(videos(data)) == 2
    assert cli(gate, data, "--budget=700000").exit_code == 0
    assert len(videos(data)) == 3


def test_a_video_that_is_not_the_buckets_is_left_alone(gate: Gate, data: Path) -> None:
    own = data / "mine" / f"{clip('G331')}.r13.avi"
    own.parent.mkdir()
    own.write_bytes(b"cut off")
    report = fetch_corpus(of(gate, data), lambda text: None)
    assert "move it away" in report.failed[clip("G331")]
    assert own.read_bytes() == b"cut off"
    own.write_bytes(body(key("G331")))
    assert fetch_corpus(of(gate, data), lambda text: None).status == 0


def test_an_archive_from_a_file_and_one_that_is_refused(gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "repo.tar.gz"
    file.write_bytes(archive()[:-20])
    data = tmp_path / "data"
    result = cli(gate, data, "--annotations", str(file), "--dry-run")
    assert (result.exit_code, "cut off" in result.output) == (2, True)
    missing = cli(gate, data, "--annotations", "nowhere.tar.gz")
    assert (missing.exit_code, "no archive" in missing.output) == (2, True)
    file.write_bytes(archive())
    assert cli(gate, data, "--annotations", str(file), "--dry-run").exit_code == 0


def test_an_archive_that_is_cut_off_on_the_way_is_fetched_anew(gate: Gate, tmp_path: Path) -> None:
    gate.faults[ARCHIVE] = [("cut", 100), ("status", 500)]
    asked = replace(of(gate, tmp_path, dry_run=True), annotations=f"{gate.address}/{ARCHIVE}")
    fetch_corpus(asked, lambda text: None)
    assert len(gate.asked_for(ARCHIVE)) == 3
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".part")]


def test_an_address_with_a_password_is_not_repeated(gate: Gate, data: Path) -> None:
    result = cli(gate, data, "--bucket", "https://me:word@host/b")
    assert result.exit_code == 2
    assert "me:" not in result.output
    assert ":word" not in result.output


def test_virat_is_told_about_and_what_was_placed_is_checked(tmp_path: Path) -> None:
    def fetch() -> Result:
        args = ["fetch", "--source=virat", "--data", str(tmp_path), "--quiet", "--workers=1"]
        return CliRunner().invoke(main, [*args, "--set=filter.min_samples=1"])

    empty = fetch()
    assert empty.exit_code == 1
    assert "viratdata.org" in empty.output
    assert "own agreement" in empty.output
    name = "VIRAT_S_000001"
    for file, text in kpf(name, SMALL, "Opening").items():
        (tmp_path / file).write_text(text)
    lacking = fetch()
    assert (lacking.exit_code, f"{name}: not here yet" in lacking.output) == (1, True)
    (tmp_path / f"{name}.mp4").write_bytes(b"\0\0\0\x08free\0\0\0\x10mdat")
    assert "cut off" in fetch().output


@pytest.mark.parametrize("source", ["demo", "nothing"])
def test_a_source_that_lies_nowhere_is_bad_usage(tmp_path: Path, source: str) -> None:
    result = CliRunner().invoke(main, ["fetch", f"--source={source}", "--data", str(tmp_path)])
    assert result.exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_fetch_that_is_ended_anywhere_goes_on(
    gate: Gate, data: Path, sign: signal.Signals, status: int
) -> None:
    command = [
        sys.executable, "-m", "tinyvirat_build", "fetch", "--source=meva", "--data", str(data),
        "--bucket", gate.address, "--quiet", "--workers=1", *(f"--set={s}" for s in SETS),
    ]  # fmt: skip
    for camera in NEEDED:
        gate.faults[key(camera)] = [("stall", 290_000)]  # more than what is read at once
    process = subprocess.Popen(command)
    parts: list[Path] = []
    while sum(part.stat().st_size for part in parts) < 3 * (256 << 10):
        time.sleep(0.05)
        parts = [p for p in data.rglob("*.part") if p.is_file()]
    process.send_signal(sign)
    assert process.wait() == status
    assert videos(data) == {}
    for _ in NEEDED:
        gate.stalled.release()
    gate.asked.clear()
    assert subprocess.run(command, check=False).returncode == 0
    assert videos(data) == {key(c): body(key(c)) for c in NEEDED}
    for camera in NEEDED:
        [headers] = gate.asked_for(key(camera))
        begin = int(headers["Range"].removeprefix("bytes=").partition("-")[0])
        assert 256 << 10 <= begin <= 290_000  # all that was read, or came, is kept
