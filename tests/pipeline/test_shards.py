"""A build that is cut in shards and joined is the one that one machine makes alone."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from builds import DEMO, DEMO_SETS, bytes_of
from click.testing import CliRunner, Result

import tinyvirat_build as tvb
from tinyvirat_build import store
from tinyvirat_build.cli import main


def cli(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def shard(out: Path, demo_data: Path, name: str, *more: str) -> Result:
    return cli(
        "all", "--source=demo", "--data", demo_data, "--out", out, *DEMO_SETS, "--workers=1",
        "--shard", name, *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def planned(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that is planned, from which shards go on, so that each need not plan anew."""
    out = tmp_path_factory.mktemp("planned") / "out"
    tvb.build("demo", out, data=demo_data, settings=DEMO, until="filter", workers=2)
    return out


@pytest.fixture(scope="module")
def four(planned: Path, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The four shards of the demo; a test that changes them takes a copy."""
    root = tmp_path_factory.mktemp("four")
    outs = [root / str(i) for i in range(4)]
    for i, out in enumerate(outs):
        shutil.copytree(planned, out)
        result = shard(out, demo_data, f"{i}/4")
        assert result.exit_code == 0, result.output
        assert re.search(rf"Shard {i}/4: \d+ of \d+ videos, \d+ of \d+ clips cut\.", result.output)
        assert "merge-shards" in result.output
        assert not (out / "TinyVIRAT_V2").exists()
    return outs


@pytest.mark.slow
def test_four_shards_are_the_whole(demo: tvb.Build, four: list[Path], tmp_path: Path) -> None:
    cut = [{p.name for p in out.glob("clips/*/*/*")} for out in four]
    assert sum(map(len, cut)) == len(set.union(*cut)) == demo.clips["video_id"].nunique()
    before = [bytes_of(out) for out in four]
    result = cli("merge-shards", *reversed(four), "--out", tmp_path / "whole")
    assert result.exit_code == 0, result.output
    assert bytes_of(tmp_path / "whole") == bytes_of(demo.path)
    assert [bytes_of(out) for out in four] == before
    again = cli("merge-shards", *four, "--out", tmp_path / "whole")
    assert again.exit_code == 0
    assert "Nothing to do" in again.output


@pytest.mark.slow
def test_into_the_first_and_without_hard_links(
    demo: tvb.Build, four: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    first = Path(shutil.copytree(four[0], tmp_path / "first"))
    monkeypatch.setattr(os, "link", refuse)
    result = cli("merge-shards", first, *four[1:], "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert bytes_of(first) == bytes_of(demo.path)


@pytest.mark.slow
def test_a_shard_goes_on_alone_and_does_nothing_twice(
    demo: tvb.Build, demo_data: Path, four: list[Path], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(four[1], tmp_path / "out"))
    unit = next(p for p in sorted((out / "units" / "cut").rglob("*")) if p.is_file())
    unit.unlink()
    assert shard(out, demo_data, "1/4").exit_code == 0
    assert bytes_of(out) == bytes_of(four[1])
    assert "Nothing to do" in shard(out, demo_data, "1/4").output
    assert shard(out, demo_data, "1/4", "--quiet").output == ""
    assert cli("all", "--out", out, "--workers=2").exit_code == 0
    assert bytes_of(out) == bytes_of(demo.path)


@pytest.mark.slow
def test_a_trial_in_shards_is_the_trial(demo_data: Path, planned: Path, tmp_path: Path) -> None:
    outs = [tmp_path / str(i) for i in range(2)]
    for i, out in enumerate(outs):
        shutil.copytree(planned, out)
        assert shard(out, demo_data, f"{i}/2", "--limit=2").exit_code == 0
    assert cli("merge-shards", *outs).exit_code == 0
    alone = tmp_path / "alone"
    tvb.build("demo", alone, data=demo_data, settings=DEMO, limit=2, workers=1)
    assert bytes_of(outs[0]) == bytes_of(alone)


@pytest.mark.slow
def test_shards_of_videos_that_lie_elsewhere(demo_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(demo_data, tmp_path / "data"))
    far = next(data.rglob("video")).rename(tmp_path / "far")
    outs = [tmp_path / str(i) for i in range(2)]
    for i, out in enumerate(outs):
        result = shard(out, data, f"{i}/2", "--limit=2", "--videos", str(far))
        assert result.exit_code == 0, result.output
    result = cli("merge-shards", *outs, "--out", tmp_path / "whole")
    assert result.exit_code == 0, result.output
    whole = tvb.open_build(tmp_path / "whole")
    assert whole.videos == str(far)
    assert whole.clips["path"].notna().all()


@pytest.mark.slow
def test_what_cannot_be_joined_is_one_line(
    demo_data: Path, four: list[Path], tmp_path: Path
) -> None:
    def copied(i: int, name: str, old: str = "", new: str = "") -> Path:
        out = Path(shutil.copytree(four[i], tmp_path / name))
        file = out / "build.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
        return out

    def refused(*outs: Path) -> str:
        before = [bytes_of(out) for out in outs]
        result = cli("merge-shards", *outs)
        assert result.exit_code == 2
        assert [bytes_of(out) for out in outs] == before
        (line,) = result.output.splitlines()
        return line

    lacking = copied(0, "lacking"), copied(3, "last")
    assert "they are of shard 1/4, 2/4: run `all --shard`" in refused(*lacking)
    size = copied(1, "size", "max_side: 128", "max_side: 64")
    assert "settings.crop.max_side is 128 in" in refused(four[0], size)
    versions = copied(1, "versions", "av: ", "av: 0.")
    assert "versions.av is" in refused(four[0], versions)
    olds = [copied(i, f"old{i}", "numpy: ", "numpy: 0.") for i in range(4)]
    assert re.search("versions.numpy is '0.* in this machine; ", refused(*olds))
    assert "holds no build" in refused(four[0], tmp_path)
    data = copied(1, "data")
    table = data / "tables" / "clips_filtered.parquet"
    store.write_table(
        table, "clips_filtered", [store.to_arrow("clips_filtered", store.read_table(table))],
        key="other",
    )  # fmt: skip
    (data / "log" / "tables.json").unlink()
    assert "was planned from other data than" in refused(four[0], data)
    with store.locked(four[2], "building"):
        result = cli("merge-shards", *four, "--out", tmp_path / "busy")
    assert "another process is building in" in result.output


@pytest.mark.parametrize("name", ["4/4", "0/0", "a/4", "1", "-1/4", ""])
def test_no_such_shard(name: str, tmp_path: Path) -> None:
    result = shard(tmp_path / "out", tmp_path, name)
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()
