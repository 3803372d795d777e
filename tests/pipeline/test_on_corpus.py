"""What is published stands for the settings of now."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinyvirat_build as tvb
from tinyvirat_build import records
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.pipeline.given import Corpus
from tinyvirat_build.pipeline.on_corpus import publish


def _publish(out: Path, *, pack: bool) -> None:
    settings = tvb.Settings.load(overrides=[f"encode.pack={str(pack).lower()}"])
    tables = {name: records.empty(name) for name in ("clips_filtered", "cuts")}
    publish(Corpus(settings, ("Talking",), out, (), tables=tables))


def test_a_pack_of_other_settings_does_not_stay(tmp_path: Path) -> None:
    _publish(tmp_path, pack=True)
    assert len(open_pack(tmp_path)) == 0
    _publish(tmp_path, pack=False)
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize("name", ["index.parquet", "shards/00000.yuv"])
def test_the_rest_of_a_pack_makes_room_for_a_whole_one(tmp_path: Path, name: str) -> None:
    rest = tmp_path / "pack" / name
    rest.parent.mkdir(parents=True)
    rest.write_bytes(b"rest")
    _publish(tmp_path, pack=True)
    assert len(open_pack(tmp_path)) == 0
