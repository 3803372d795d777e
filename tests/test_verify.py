"""Every kind of damage to a finished build is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tinyvirat_build as tvb
from tinyvirat_build import store

SETTINGS = {"demo.scale": 0.1, "filter.min_samples": 1}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tvb.Build:
    out = tmp_path_factory.mktemp("verify") / "out"
    return tvb.build("demo", out, settings=SETTINGS, workers=2)


def _rewrite(path: Path, change: Callable[[list[dict[str, object]]], None]) -> None:
    rows = json.loads(path.read_text())
    change(rows)
    path.unlink()
    path.write_text(json.dumps(rows))


def _lose_a_file(out: Path) -> None:
    next((out / "TinyVIRAT_V2" / "videos" / "train").rglob("*.mp4")).unlink()


def _add_a_file(out: Path) -> None:
    clip = next((out / "TinyVIRAT_V2" / "videos" / "train").rglob("*.mp4"))
    shutil.copyfile(clip, clip.with_name("999999.mp4"))


def _lose_a_row(out: Path) -> None:
    _rewrite(out / "TinyVIRAT_V2" / "tiny_train_v2.json", lambda rows: rows.pop())


def _double_a_row(out: Path) -> None:
    _rewrite(out / "TinyVIRAT_V2" / "tiny_val_v2.json", lambda rows: rows.append(rows[0]))


def _wrong_dim(out: Path) -> None:
    _rewrite(
        out / "TinyVIRAT_V2" / "tiny_train_v2.json", lambda rows: rows[0].update(dim=[1, 2, 3])
    )


def _wrong_label(out: Path) -> None:
    _rewrite(out / "TinyVIRAT_V2" / "tiny_train_v2.json", lambda rows: rows[0].update(label=["x"]))


def _test_label(out: Path) -> None:
    _rewrite(
        out / "TinyVIRAT_V2" / "tiny_test_v2_public.json",
        lambda rows: rows[0].update(label=["Talking"]),
    )


def _swap_two_clips(out: Path) -> None:
    a, b = sorted((out / "clips").rglob("*.mp4"))[:2]
    a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
    for path, content in ((a, b_bytes), (b, a_bytes)):
        path.unlink()
        path.write_bytes(content)


def _group_in_two_splits(out: Path) -> None:
    path = out / "tables" / "clips.parquet"
    clips = store.read_table(path)
    clips["group"] = clips["group"].iloc[0]
    store.write_table(path, "clips", [store.to_arrow("clips", clips)], key="changed")


def _damage_the_pack(out: Path) -> None:
    shard = max((out / "pack").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.unlink()
    shard.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (_lose_a_file, "file"),
        (_add_a_file, "file"),
        (_lose_a_row, "json"),
        (_double_a_row, "id"),
        (_wrong_dim, "dim"),
        (_wrong_label, "label"),
        (_test_label, "label"),
        (_swap_two_clips, "checksum"),
        (_group_in_two_splits, "leakage"),
        (_damage_the_pack, "pack"),
    ],
)
def test_damage_is_found(
    damage: Callable[[Path], None], check: str, built: tvb.Build, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(built.path, out, ignore=shutil.ignore_patterns("data"))
    (out / "log" / "data.json").write_text(json.dumps({"data": str(built.path / "data")}))
    damage(out)
    report = tvb.open_build(out).verify(sample=10 if check != "checksum" else None)
    assert check in {p.check for p in report.problems}, report.render()
    assert check in report.render()
    assert json.loads(report.to_json())["problems"]


def test_a_whole_build_is_proven(built: tvb.Build) -> None:
    report = built.verify()
    assert not report.problems
    assert "every pixel is equal" in report.render()
