"""Every kind of damage to a finished build is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builds import DEMO, bytes_of

import tinyvirat_build as tvb
from tinyvirat_build import store
from tinyvirat_build.ask.verify import verify
from tinyvirat_build.errors import BuildError
from tinyvirat_build.video.verify import LEAST_PSNR

TINY = DEMO | {"demo.scale": 0.02}


def _copy(demo: tvb.Build, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo.path, tmp_path / "out"))


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
    key = store.table_key(path) or ""
    store.write_table(path, "clips", [store.to_arrow("clips", clips)], key=key)


def _damage_the_pack(out: Path) -> None:
    shard = max((out / "pack").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.unlink()
    shard.write_bytes(bytes(content))


def _rewrite_the_header(out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = out / "pack" / "pack.json"
    header = json.loads(file.read_text())
    change(header)
    file.write_text(json.dumps(header))


def _mislabel_the_pack(out: Path) -> None:
    file = out / "pack" / "index.parquet"
    table = pq.read_table(file)
    labels = table["labels"].to_pylist()
    i = table.schema.get_field_index("labels")
    turned = pa.array(labels[1:] + labels[:1], table["labels"].type)
    pq.write_table(table.set_column(i, table.schema.field(i), turned), file, store_schema=True)
    _rewrite_the_header(out, lambda h: h.update(index_sha256=store.hash_file(file)))


def _double_a_packed_clip(out: Path) -> None:
    file = out / "pack" / "index.parquet"
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), file, store_schema=True)
    _rewrite_the_header(
        out, lambda h: h.update(index_sha256=store.hash_file(file), clips=table.num_rows + 1)
    )


def _another_order_in_the_pack(out: Path) -> None:
    file = out / "pack" / "index.parquet"
    table = pq.read_table(file)
    turned = pa.concat_tables([table.slice(1), table.slice(0, 1)])
    pq.write_table(turned, file, store_schema=True)
    _rewrite_the_header(out, lambda h: h.update(index_sha256=store.hash_file(file)))


def _not_public_any_more(out: Path) -> None:
    _rewrite_the_header(out, lambda h: h.update(public=True))


def _a_shard_that_none_names(out: Path) -> None:
    (out / "pack" / "shards" / "99999.yuv").write_bytes(b"left over")


def _another_shard(out: Path) -> None:
    _damage_the_pack(out)

    def change(header: dict[str, Any]) -> None:
        for shard in header["shards"]:
            shard["sha256"] = store.hash_file(out / "pack" / shard["file"])

    _rewrite_the_header(out, change)


TRAIN = "TinyVIRAT_V2/tiny_train_v2.json"


def _other_valid_label(out: Path) -> None:
    def change(rows: list[dict[str, object]]) -> None:
        rows[0]["label"] = ["Talking"] if rows[0]["label"] != ["Talking"] else ["Riding"]

    _rewrite(out / TRAIN, change)


def _swapped_paths(out: Path) -> None:
    def change(rows: list[dict[str, object]]) -> None:
        rows[0]["path"], rows[1]["path"] = rows[1]["path"], rows[0]["path"]

    _rewrite(out / TRAIN, change)


def _other_video(out: Path) -> None:
    _rewrite(out / TRAIN, lambda rows: rows[0].update(video_id="nonsense"))


def _other_order(out: Path) -> None:
    _rewrite(out / TRAIN, lambda rows: rows.reverse())


def _row_without_id(out: Path) -> None:
    _rewrite(out / TRAIN, lambda rows: rows[0].pop("id"))


def _row_that_is_none(out: Path) -> None:
    _rewrite(out / TRAIN, lambda rows: rows.append(7))  # type: ignore[arg-type]


def _no_list(out: Path) -> None:
    (out / TRAIN).unlink()
    (out / TRAIN).write_text('{"a": 1}')


def _renumbered_classes(out: Path) -> None:
    path = out / "TinyVIRAT_V2" / "class_map.json"
    numbers = json.loads(path.read_text())
    first, second = list(numbers)[:2]
    numbers[first], numbers[second] = numbers[second], numbers[first]
    path.unlink()
    path.write_text(json.dumps(numbers))


def _other_truth(out: Path) -> None:
    _rewrite(out / "truth" / "test.json", lambda rows: rows[0].update(label=["Riding", "Talking"]))


def _no_truth(out: Path) -> None:
    (out / "truth" / "test.json").unlink()


def _no_licence(out: Path) -> None:
    (out / "TinyVIRAT_V2" / "LICENSE").unlink()


def _other_card(out: Path) -> None:
    path = out / "TinyVIRAT_V2" / "README.md"
    path.write_text(path.read_text().replace("clips", "films"))


def _other_date(out: Path) -> None:
    path = out / "TinyVIRAT_V2" / "croissant.json"
    path.write_text(path.read_text().replace("2026-01-01", "2026-01-02"))


def _other_released_clip(out: Path, content: bytes | None = None) -> None:
    first, second = sorted((out / "TinyVIRAT_V2" / "videos" / "train").rglob("*.mp4"))[:2]
    content = second.read_bytes() if content is None else content
    first.unlink()  # a file of its own, no link any more
    first.write_bytes(content)


def _empty_released_clip(out: Path) -> None:
    _other_released_clip(out, b"")


def _other_table(out: Path) -> None:
    path = out / "tables" / "activities.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)  # under the same key


def _lost_table(out: Path) -> None:
    (out / "tables" / "boxes.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (_other_valid_label, "label"),
        (_swapped_paths, "json"),
        (_other_video, "json"),
        (_other_order, "json"),
        (_row_without_id, "json"),
        (_row_that_is_none, "json"),
        (_no_list, "json"),
        (_renumbered_classes, "json"),
        (_other_truth, "label"),
        (_no_truth, "json"),
        (_no_licence, "text"),
        (_other_card, "text"),
        (_other_date, "text"),
        (_other_released_clip, "file"),
        (_empty_released_clip, "file"),
        (_other_table, "table"),
        (_lost_table, "table"),
    ],
)
def test_what_is_given_away_is_proven_and_repaired(
    damage: Callable[[Path], None], check: str, demo: tvb.Build, tmp_path: Path
) -> None:
    out = _copy(demo, tmp_path)
    before = bytes_of(out)
    damage(out)
    report = verify(tvb.open_build(out), sample=1)
    assert check in {p.check for p in report.problems}, report.render()
    assert not verify(tvb.open_build(out), sample=1, repair=True).problems
    assert bytes_of(out) == before


def test_repair_touches_nothing_that_another_process_builds(
    demo: tvb.Build, tmp_path: Path
) -> None:
    out = _copy(demo, tmp_path)
    _no_licence(out)
    before = bytes_of(out)
    with store.locked(out, "building"), pytest.raises(BuildError, match="another process"):
        verify(tvb.open_build(out), sample=1, repair=True)
    assert bytes_of(out) == before


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
        (_mislabel_the_pack, "pack"),
        (_another_shard, "pack"),
        (_double_a_packed_clip, "pack"),
        (_another_order_in_the_pack, "pack"),
        (_not_public_any_more, "pack"),
        (_a_shard_that_none_names, "pack"),
    ],
)
def test_damage_is_found(
    damage: Callable[[Path], None], check: str, demo: tvb.Build, tmp_path: Path
) -> None:
    out = _copy(demo, tmp_path)
    damage(out)
    report = tvb.open_build(out).verify(sample=10 if check != "checksum" else None)
    assert check in {p.check for p in report.problems}, report.render()
    assert check in report.render()
    assert json.loads(report.to_json())["problems"]


def test_a_whole_build_is_proven(demo: tvb.Build) -> None:
    report = demo.verify()
    assert not report.problems, report.render()
    assert report.clips == len(demo.clips) > 20
    assert "every pixel is equal" in report.render()


def test_a_lossy_build_is_not_called_equal(tmp_path: Path) -> None:
    settings = {**TINY, "encode.codec": "h264-crf"}
    report = tvb.build("demo", tmp_path / "out", settings=settings, workers=1).verify()
    assert not report.problems, report.render()
    assert "every pixel" not in report.render()
    assert f"to {LEAST_PSNR} dB or better" in report.render()


def test_where_nothing_was_built_nothing_is_proven(tmp_path: Path) -> None:
    settings = {**TINY, "chunk.length": 9999, "chunk.min_frames": 9999}
    report = tvb.build("demo", tmp_path / "out", settings=settings, workers=1).verify()
    assert [p.detail for p in report.problems] == ["holds no clip to prove"]


def test_a_sample_repairs_a_shard_that_is_the_raw_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = tvb.build("demo", out, settings=TINY, workers=1)
    before = bytes_of(out)
    shard = max((out / "pack" / "shards").iterdir())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))  # in place: the raw file is the same one
    [problem] = [p for p in verify(built, sample=1).problems if p.check == "pack"]
    assert "checksum is wrong" in problem.detail
    assert not verify(built, sample=1, repair=True).problems
    assert bytes_of(out) == before
