from __future__ import annotations

import errno
import fcntl
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build import store
from tinyvirat_build.errors import BuildError
from tinyvirat_build.pipeline import folder
from tinyvirat_build.records import SCHEMAS, Key, empty

_names = st.text(max_size=6)
_tracks = st.lists(
    st.tuples(_names, st.integers(0, 9), st.integers(0, 9), st.lists(_names, max_size=3)),
    max_size=8,
)


def _frame(rows: list[tuple[str, int, int, list[str]]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": pd.Categorical(["s"] * len(rows)),
            "video_id": [r[0] for r in rows],
            "annotation_set": ["a"] * len(rows),
            "track_id": [r[1] for r in rows],
            "start": [r[1] for r in rows],
            "end": [r[2] for r in rows],
            "activities": [tuple(r[3]) for r in rows],
        }
    )


@given(_tracks)
@settings(max_examples=50, deadline=None)
def test_a_table_survives_arrow(rows: list[tuple[str, int, int, list[str]]]) -> None:
    frame = _frame(rows)
    back = store.from_arrow(store.to_arrow("tracks", frame))
    assert back["activities"].tolist() == frame["activities"].tolist()
    assert back["video_id"].astype(str).tolist() == frame["video_id"].tolist()
    assert back["end"].tolist() == frame["end"].tolist()


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_an_empty_table_has_the_written_schema(name: str) -> None:
    arrow = store.to_arrow(name, empty(name))
    assert arrow.schema == SCHEMAS[name]
    assert list(store.from_arrow(arrow).columns) == SCHEMAS[name].names


def test_table_bytes_do_not_depend_on_the_parts(tmp_path: Path) -> None:
    rows = [(f"v{i % 7}", i, i + 3, [str(i)]) for i in range(50)]
    whole = store.to_arrow("tracks", _frame(rows))
    parts = [store.to_arrow("tracks", _frame(rows[i : i + 9])) for i in range(0, 50, 9)]
    store.write_table(tmp_path / "a", "tracks", [whole], key="k")
    store.write_table(tmp_path / "b", "tracks", parts, key="k")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert store.table_key(tmp_path / "a") == "k"
    assert len(store.read_table(tmp_path / "a")) == 50


def test_a_unit_is_whole_or_absent(tmp_path: Path) -> None:
    path, key = tmp_path / "unit", store.digest("x")
    assert store.unit_key(path) is None
    store.write_unit(path, key, {"tracks": store.to_arrow("tracks", _frame([])), "raw": b"123"})
    assert store.unit_key(path) == key
    assert store.read_unit_bytes(path, "raw") == b"123"
    assert store.has_part(path, "tracks")
    assert not store.has_part(path, "boxes")
    path.write_bytes(path.read_bytes()[:-40])
    assert store.unit_key(path) != key
    with pytest.raises(BuildError, match="delete it and run again"):
        store.read_unit(path, ["tracks"])


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    store.write_text(path, "old")
    with pytest.raises(RuntimeError, match="killed"), store.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_partials_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"clips{store.PARTIAL}" / "deep").mkdir(parents=True)
    (tmp_path / f".build.yaml.x{store.PARTIAL}").write_text("half")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / f".x{store.PARTIAL}").write_text("half")
    (tmp_path / "tables" / "kept").write_text("whole")
    (tmp_path / f"download{store.PARTIAL}").write_text("another program's")
    folder.remove_partials(tmp_path)
    left = sorted(p.name for p in tmp_path.rglob("*"))
    assert left == [f"download{store.PARTIAL}", "kept", "tables"]


def test_two_builds_in_one_folder(tmp_path: Path) -> None:
    with (
        store.locked(tmp_path, "building"),
        pytest.raises(BuildError, match="another process"),
        store.locked(tmp_path, "building"),
    ):
        pass
    with store.locked(tmp_path, "building"):
        pass


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with (
        pytest.raises(BuildError, match="give a writable --out"),
        store.locked(tmp_path / "out", "building"),
    ):
        pass


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 9)), max_size=12),
    st.integers(1, 7),
)
def test_tables_are_read_video_by_video(videos: list[tuple[int, int, int]], batch: int) -> None:
    """Whatever the batch, and whichever videos a table lacks."""
    keys = sorted({Key("s", f"v{i}", "a") for i, _, _ in videos})
    counts = {
        "tracks": dict(zip(keys, (n for _, n, _ in videos), strict=False)),
        "segments": dict(zip(keys, (n for _, _, n in videos), strict=False)),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, of_video in counts.items():
            rows = [
                {**key._asdict(), "start": i, "end": i + 1, "activities": (f"{key.video_id}{i}",)}
                for key, n in of_video.items()
                for i in range(n)
            ]
            table = pd.DataFrame(rows) if rows else empty(name)
            paths[name] = Path(folder) / f"{name}.parquet"
            store.write_table(paths[name], name, [store.to_arrow(name, table)], key="k")
        found = dict(store.read_by_video(paths, batch))
        some = dict.fromkeys(paths, ("start", "activities"))
        part = dict(store.read_by_video(paths, batch, columns=some))
    assert list(found) == [key for key in keys if counts["tracks"][key]]
    for key, tables in found.items():
        for name, table in tables.items():
            n = counts[name][key]
            assert table["start"].tolist() == list(range(n))
            assert table["activities"].tolist() == [(f"{key.video_id}{i}",) for i in range(n)]
            assert set(table["video_id"]) <= {key.video_id}
            assert list(table["video_id"].cat.categories) == [key.video_id]
            assert part[key][name].equals(table[["start", "activities"]])


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has neither locks nor hard links."""
    number = getattr(errno, request.param)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("without_locks")
def test_two_builds_in_one_folder_without_locks(tmp_path: Path) -> None:
    for _ in range(2):
        with store.locked(tmp_path, "building"):
            with (
                pytest.raises(BuildError) as told,
                store.locked(tmp_path, "building"),
            ):
                pass
            assert str(told.value) == (
                f"process {os.getpid()} on {platform.node()} is building in {tmp_path}; wait for "
                f"it, or delete {tmp_path / '.lock-holder'} if it has ended"
            )
        assert not (tmp_path / ".lock-holder").exists()


@pytest.mark.usefixtures("without_locks")
def test_a_holder_that_was_killed_is_noticed_without_locks(tmp_path: Path) -> None:
    holder = "import sys, os, fcntl, errno, pathlib\nfrom tinyvirat_build import store\n"
    holder += "def refuse(*_): raise OSError(errno.ENOLCK, 'No locks available')\n"
    holder += "fcntl.flock = refuse\n"
    holder += "with store.locked(pathlib.Path(sys.argv[1]), 'building'): os._exit(9)\n"
    assert (
        subprocess.run([sys.executable, "-c", holder, str(tmp_path)], check=False).returncode == 9
    )
    assert (tmp_path / ".lock-holder").exists()
    with store.locked(tmp_path, "building"):
        pass


def test_a_disk_that_fails_is_no_disk_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with (
        pytest.raises(BuildError, match=r"cannot write to .*: Input/output error; give a writable"),
        store.locked(tmp_path, "building"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK])
def test_a_copy_where_there_are_no_hard_links(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"clip")
    store.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"clip"
    assert (tmp_path / "a").stat().st_nlink == 1


def test_what_a_power_failure_leaves_of_a_unit_is_told(tmp_path: Path) -> None:
    """Its end missing, the work is done again; a hole before its end, it is refused."""
    unit, key = tmp_path / "unit", "k" * 32
    store.write_unit(unit, key, {"a": b"1" * 5000})
    whole = unit.read_bytes()
    assert store.unit_key(unit) == key
    for left in (b"", whole[:2000], whole[:2000].ljust(len(whole), b"\0")):
        unit.write_bytes(left)
        assert store.unit_key(unit) != key
    unit.write_bytes(whole[:1000] + bytes(2000) + whole[3000:])
    assert store.unit_key(unit) == key
    with pytest.raises(BuildError, match="delete it"):
        store.unit_digest(unit, ["a"])
