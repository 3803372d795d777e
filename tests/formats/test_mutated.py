"""Files broken at random, in every format: records plus issues, or one clear error.

Number of files: ``TINYVIRAT_MUTATIONS`` (default 300); the slow test reads 20,000.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from counted import counted

import tinyvirat_build as tvb
from tinyvirat_build import sources
from tinyvirat_build.errors import TinyviratError
from tinyvirat_build.records import KEYS
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources.custom import Custom

from .samples import ALL, VIDEO, outcome

COUNT = int(os.environ.get("TINYVIRAT_MUTATIONS", "300"))


def flip(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def swap_digits(data: bytearray, rng: random.Random) -> bytes:
    """Another number where one stands: huge, negative, none, or with a sign or a point."""
    digits = [i for i, c in enumerate(data) if chr(c).isdigit()]
    if digits:
        at = rng.choice(digits)
        new = (b"", b"-1", b"99999999999999999999", b"1e9", b".5", b"007", b"0x1f", b"2147483647")
        data[at : at + 1] = rng.choice(new)
    return bytes(data)


def on_lines(data: bytearray, rng: random.Random) -> bytes:
    """A line dropped, doubled, moved or cut, or two lines glued."""
    lines = bytes(data).splitlines(keepends=True)
    at = rng.randrange(len(lines))
    action = rng.randrange(5)
    if action == 0:
        del lines[at]
    elif action == 1:
        lines.insert(at, lines[at])
    elif action == 2:
        lines.insert(rng.randrange(len(lines)), lines.pop(at))
    elif action == 3:
        lines[at] = lines[at][: rng.randrange(len(lines[at]))] + b"\n"
    else:
        lines[at] = lines[at].rstrip(b"\r\n")
    return b"".join(lines)


def truncate(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def repeat(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 80)]
    return bytes(data[:start] + part * rng.choice((2, 3, 200)) + data[start:])


MUTATIONS = (flip, swap_digits, on_lines, truncate, repeat)


def read_mutated(count: int, seed: int, folder: Path) -> tuple[int, int]:
    """Read ``count`` broken files; how many ended in an error, and the most calls that one took."""
    rng = random.Random(seed)
    errors = most = 0
    for _ in range(count):
        format, dialect, files = rng.choice(ALL)
        name = rng.choice(sorted(files))
        data = files[name].encode()
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = rng.choice(MUTATIONS)(bytearray(data), rng) or b"\n"
        with counted() as work:
            error = outcome(folder, {**files, name: data}, format=format, dialect=dialect)
        most = max(most, work.calls)
        assert "\n" not in str(error)
        errors += error is not None
    return errors, most


CORPUS = {
    "c.yaml": """name: crossing
format: kpf
labels: labels.csv
group: {file: groups.csv, column: day}
regions:
  - ignore: [[0, 0], [200, 0], [200.5, 90]]
    videos: "cam1_.*"
width: 1280
fps: 30000/1001
""",
    "own.yaml": """format: actev-json
dialect: nist
videos: film
labels: {walks: activity_walking, waits: [], "runs": [activity_running]}
group: 'cam(\\d+)_(day\\d+)'
regions: [{only: [[0, 90], [768, 90], [768, 576], [0, 576]]}]
license: "none"
""",
    "groups.csv": 'video,day\nv,monday\nw,"tues,day"\n',
    "labels.csv": 'name,labels,note\nTalking,Talking,\nwalks,activity_walking;Talking,"why, so"\n',
    "settings.yaml": """preset: default
chunk: {length: 32}
labels: {meva: meva-to-tinyvirat}
meva: {sets: [kitware]}
""",
}


def described(folder: Path, files: Mapping[str, bytes]) -> TinyviratError | None:
    """The error that a corpus's description or the settings end with, if they do."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        known = Settings.load(file=folder / "settings.yaml")
        for name in ("c.yaml", "own.yaml"):
            source = sources.get(str(folder / name))
            assert isinstance(source, Custom)
            source.survey(folder, known)
    except TinyviratError as e:
        return e
    return None


def describe_mutated(count: int, seed: int, folder: Path) -> tuple[int, int]:
    """As ``read_mutated``, of descriptions and tables."""
    plain = {name: text.encode() for name, text in CORPUS.items()}
    for name in ("v.activities.yml", "w.json"):
        (folder / name).touch()
    assert described(folder, plain) is None
    rng = random.Random(seed)
    errors = most = 0
    for _ in range(count):
        name = rng.choice(sorted(plain))
        data = plain[name]
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = rng.choice(MUTATIONS)(bytearray(data), rng) or b"\n"
        with counted() as work:
            error = described(folder, {**plain, name: data})
        most = max(most, work.calls)
        assert "\n" not in str(error)
        errors += error is not None
    return errors, most


SOURCES = {
    "kpf": "",
    "actev-json": "dialect: nist\n",
    "cuboids": "",
    "virat-text": "",
    "csv": "",
    "cvat-xml": "",
    "dive": "",
    "kwcoco": "",
}


def plan_mutated(count: int, seed: int, folder: Path) -> tvb.Build:
    """``all … --until filter`` of ``count`` videos, one file of each broken, in all formats."""
    rng = random.Random(seed)
    for number in range(count):
        format, _, files = rng.choice(ALL)
        video = f"{VIDEO[:-3]}{number:04d}"
        where = folder / "data" / format
        where.mkdir(parents=True, exist_ok=True)
        broken = rng.choice(sorted(files))
        for name, text in files.items():
            data = text.replace(VIDEO, video).encode()
            if name == broken:
                for _ in range(rng.choice((1, 1, 1, 2, 4))):
                    data = rng.choice(MUTATIONS)(bytearray(data), rng) or b"\n"
            (where / f"{video}{name}").write_bytes(data)
    for format, more in SOURCES.items():
        where = folder / "data" / format
        where.mkdir(parents=True, exist_ok=True)
        text = f"name: {format}\nformat: {format}\nannotations: .\n{more}"
        (where / "corpus.yaml").write_text(text)
    given = [str(folder / "data" / format / "corpus.yaml") for format in SOURCES]
    rules = {
        "filter.min_samples": 0, "chunk.min_frames": 1, "crop.max_side": 2048,
        "merge.unmapped": "include",
    }  # fmt: skip
    return tvb.build(given, folder / "out", until="filter", settings=rules, quiet=True)


def holds(build: tvb.Build) -> None:
    """Every record in is a record out or an issue, and nothing ended in an unforeseen error."""
    balance, issues = build.table("balance"), build.table("issues")
    assert (balance["records_in"] == balance["records_out"] + balance["dropped"]).all()
    odd = issues[issues["reason"].isin(["failed", "crashed", "timeout"])]
    assert odd.empty, odd[["video_id", "reason", "detail"]].to_dict("records")
    lost = issues[issues["action"].isin(["dropped", "quarantined"])]
    keys = [*KEYS, "stage"]
    sums = lost.astype(dict.fromkeys(keys, str)).groupby(keys)["count"].sum()
    for row in balance.to_dict("records"):
        assert sums.get(tuple(str(row[key]) for key in keys), 0) == row["dropped"], row


def test_mutated_files_are_planned_and_every_balance_closes(tmp_path: Path) -> None:
    build = plan_mutated(100, 0, tmp_path)
    holds(build)
    assert len(build.table("clips_filtered"))
    assert len(build.table("issues"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_mutated_files_are_planned(tmp_path: Path) -> None:
    holds(plan_mutated(1000, 1, tmp_path))


def test_mutated_descriptions_are_used_or_refused(tmp_path: Path) -> None:
    errors, most = describe_mutated(COUNT, 0, tmp_path)
    assert 0 < errors < COUNT
    assert most < 4_000_000


def test_mutated_files_give_records_or_a_clear_error(tmp_path: Path) -> None:
    errors, most = read_mutated(COUNT, 0, tmp_path)
    assert 0 < errors < COUNT
    assert most < 4_000_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_mutated_files(tmp_path: Path) -> None:
    _, most = read_mutated(2_000, 1, tmp_path)
    assert most < 4_000_000
    _, most = describe_mutated(2_000, 1, tmp_path)
    assert most < 4_000_000
