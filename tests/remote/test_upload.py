from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="moto, the S3 server of tests, is not installed")
pytest.importorskip("obstore", reason="the extra `remote` is not installed")

from buckets import BUCKET, SECRET, Gate
from click.testing import CliRunner, Result

import tinyvirat_build as tvb
from tinyvirat_build.ask.upload import upload_build
from tinyvirat_build.cli import main
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.remote import upload as uploads
from tinyvirat_build.remote.upload import Outgoing, open_store, sums_of, upload


def quietly(n: int) -> None:
    pass


def files(folder: Path, **contents: bytes) -> list[Outgoing]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [Outgoing(f"data/{name}", folder / name) for name in contents]


def send(some: list[Outgoing], advance: Callable[[int], object] = quietly) -> uploads.Uploaded:
    return upload(open_store(f"s3://{BUCKET}/set"), some, advance, at="there")


def test_a_release_is_uploaded_and_listed_last(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore

    order: list[str] = []
    put = obstore.put

    def noting(store: Any, name: str, *args: Any, **more: Any) -> Any:
        order.append(name)
        return put(store, name, *args, **more)

    monkeypatch.setattr(obstore, "put", noting)
    came: list[int] = []
    done = send(files(tmp_path, a=b"1", b=b"22", c=b""), came.append)
    v = done.version
    assert (done.sent, done.there, sum(came)) == (3, 0, 3)
    assert set(order[:3]) == {f"{v}/data/{name}" for name in "abc"}
    assert order[3:] == [f"{v}/manifest.json", "latest.json"]
    manifest = json.loads(gate.get(f"set/{v}/manifest.json"))
    assert manifest["files"]["data/b"] == {
        "bytes": 2, "sha256": hashlib.sha256(b"22").hexdigest()
    }  # fmt: skip
    assert json.loads(gate.get("set/latest.json"))["manifest"] == f"{v}/manifest.json"
    assert gate.get(f"set/{v}/data/b") == b"22"


def test_nothing_is_listed_where_one_file_fails_and_it_goes_on_then(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore

    put = obstore.put

    def failing(store: Any, name: str, *args: Any, **more: Any) -> Any:
        if name.endswith("/data/c"):
            raise obstore.exceptions.PermissionDeniedError("403 Forbidden\nDebug: a long trace")
        return put(store, name, *args, **more)

    some = files(tmp_path, a=b"1", b=b"22", c=b"333")
    monkeypatch.setattr(uploads, "_AT_ONCE", 1)
    monkeypatch.setattr(obstore, "put", failing)
    done = send(some)
    assert done.failed == {"data/c": "403 Forbidden"}
    assert [k.rpartition("/")[2] for k in gate.all_keys()] == ["a", "b"]
    monkeypatch.setattr(obstore, "put", put)
    again = send(some)
    assert (again.sent, again.there, again.version) == (1, 2, done.version)
    assert "set/latest.json" in gate.all_keys()
    assert send(some).sent == 0


def test_an_object_of_equal_size_and_other_content_is_sent_again(
    gate: Gate, tmp_path: Path
) -> None:
    some = files(tmp_path, a=b"1", b=b"22")
    v = send(some).version
    gate.put(f"set/{v}/data/b", b"xx")
    assert (send(some).sent, gate.get(f"set/{v}/data/b")) == (1, b"22")


def test_a_changed_release_is_another_version_and_the_first_one_stays(
    gate: Gate, tmp_path: Path
) -> None:
    first = send(files(tmp_path, a=b"1")).version
    second = send(files(tmp_path, a=b"2")).version
    assert first != second
    assert (gate.get(f"set/{first}/data/a"), gate.get(f"set/{second}/data/a")) == (b"1", b"2")
    assert json.loads(gate.get("set/latest.json"))["version"] == second


def test_a_large_file_goes_in_parts_and_is_known_again(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PART", 5 << 20)
    for size in (5 << 20, (5 << 20) + 1, 11 << 20):
        some = files(tmp_path, a=bytes(size))
        done = send(some)
        one = gate.client.head_object(Bucket=BUCKET, Key=f"set/{done.version}/data/a")
        assert one["ETag"].strip('"') == sums_of(tmp_path / "a").etag
        assert send(some).there == 1


def test_an_encrypted_object_is_known_by_its_metadata(gate: Gate, tmp_path: Path) -> None:
    some = files(tmp_path, a=b"1")
    v = send(some).version
    key, checksum = f"set/{v}/data/a", hashlib.sha256(b"1").hexdigest()
    gate.client.put_object(
        Bucket=BUCKET, Key=key, Body=b"2", Metadata={"sha256": checksum}
    )  # whose ETag is not that of the file
    assert send(some).there == 1


def test_a_file_that_is_not_what_was_built_is_not_given_away(gate: Gate, tmp_path: Path) -> None:
    [one] = files(tmp_path, a=b"1")
    done = send([Outgoing(one.name, one.path, "0" * 64)])
    assert list(done.failed) == ["data/a"]
    assert not gate.all_keys()


@pytest.mark.parametrize(
    "url", ["https://bucket/x", "s3://", "bucket", "s3://me:word@bucket/x", "file:///tmp/x"]
)
def test_only_a_bucket_is_uploaded_to(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        open_store(url)
    assert "word" not in str(refused.value)


def test_a_bucket_that_is_not_there_is_told_in_a_line(gate: Gate, tmp_path: Path) -> None:
    with pytest.raises(DataError) as failed:
        upload(open_store("s3://nowhere/x"), files(tmp_path, a=b"1"), quietly, at="s3://nowhere/x")
    assert SECRET not in str(failed.value)
    assert "\n" not in str(failed.value)


def publish(out: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["publish", "--out", str(out), "--quiet", *args])


def test_a_build_is_given_away_with_its_pack(gate: Gate, demo: tvb.Build, tmp_path: Path) -> None:
    out = Path(shutil.copytree(demo.path, tmp_path / "out"))
    result = publish(out, "--to", f"s3://{BUCKET}/set", "--pack")
    assert result.exit_code == 0, result.output
    assert "labels of the test clips" in result.output
    assert SECRET not in result.output
    version = json.loads(gate.get("set/latest.json"))["version"]
    own = {
        f"set/{version}/{p.relative_to(out).as_posix()}"
        for root in ("TinyVIRAT_V2", "pack")
        for p in (out / root).rglob("*")
        if p.is_file()
    }
    assert set(gate.all_keys()) == own | {
        f"set/{version}/manifest.json", "set/latest.json",
    }  # fmt: skip
    again = publish(out, "--to", f"s3://{BUCKET}/set", "--pack")
    assert f"0 files sent, there before: {len(own)}" in again.output
    clip = out / demo.clips["path"].dropna().iloc[0]
    content = clip.read_bytes()
    clip.unlink()  # a hard link to the clip that was cut
    clip.write_bytes(content[:-1] + b"x")
    assert upload_build(tvb.open_build(out), f"s3://{BUCKET}/b", pack=False, quiet=True).failed


def test_pack_alone_is_bad_usage(demo: tvb.Build) -> None:
    result = publish(demo.path, "--pack")
    assert (result.exit_code, "--to" in result.output) == (2, True)
