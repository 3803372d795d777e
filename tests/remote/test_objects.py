"""What lies on object storage or a web server: listed, pinned, read; or refused in one line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import buckets
import pytest
from buckets import Gate
from builds import DEMO_SETS, bytes_of
from click.testing import CliRunner
from video.stamped import WITH_B, clips_frame, make_video

import tinyvirat_build as tvb
from tinyvirat_build.cli import main
from tinyvirat_build.errors import DataError, SettingsError, VideoError
from tinyvirat_build.remote import objects
from tinyvirat_build.remote.client import Client
from tinyvirat_build.remote.objects import RemoteFile, listed, pinned
from tinyvirat_build.remote.partial import Partial
from tinyvirat_build.remote.ranges import Ranges
from tinyvirat_build.remote.video import RemoteVideo
from tinyvirat_build.settings import Encode
from tinyvirat_build.sources import Entry, afar
from tinyvirat_build.sources.meva import SOURCE as MEVA
from tinyvirat_build.sources.virat import SOURCE as VIRAT
from tinyvirat_build.video.index import index_video

from .both import small_steps
from .served import Served, serving

pytest.importorskip("obstore", reason="the extra `remote` is not installed")

ELSEWHERE = r"leads to another host, .*, which is refused; .* give its own address"
CLIP = "2018-03-07.16-50-01.16-55-01.bus.G331"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    folder = tmp_path / "served"
    (folder / "a b").mkdir(parents=True)
    with serving(folder) as found:
        yield found


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A public bucket on moto's server, asked without keys."""
    pytest.importorskip("moto", reason="moto, the S3 server of tests, is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with buckets.served() as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.behind)
        yield gate


def test_a_bucket_is_listed_and_its_videos_are_cut_by_ranges(
    bucket: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_steps(monkeypatch)
    video = make_video(tmp_path / "a.avi", 300, options=WITH_B)
    bucket.put("day 1/a.avi", video.read_bytes())
    bucket.put("day 2/b.avi", b"b")
    found = listed("s3://corpus/day 1")
    assert [(f.name, f.size) for f in found] == [("a.avi", video.stat().st_size)]
    remote = RemoteVideo.at(tmp_path / "parts", pinned(found)[0])
    index = remote.index()
    assert index.fingerprint == index_video(video).fingerprint
    out = tmp_path / "out"
    out.mkdir()
    clips = clips_frame([(130, 146, 32, 32, 2, 4)])
    assert remote.cut(index, clips, out, Encode(), max_held=0.1)["reason"].isna().all()
    assert remote.why_whole == ""
    assert remote.parts.ranges.received < 0.6 * video.stat().st_size
    bucket.put("day 1/a.avi", video.read_bytes()[::-1])
    with pytest.raises(VideoError, match="not what it was when it was listed") as e:
        RemoteVideo.at(tmp_path / "again", found[0]).index()
    assert e.value.reason == "source_changed"


def test_nothing_in_a_bucket_is_told(bucket: Gate) -> None:
    with pytest.raises(DataError, match=r"no file below s3://corpus/none; give"):
        listed("s3://corpus/none")
    with pytest.raises(DataError, match="cannot list s3://other-corpus/"):
        listed("s3://other-corpus/")


def test_a_list_names_files_of_its_own_server(served: Served) -> None:
    (served.folder / "a b" / "c.avi").write_bytes(b"12345")
    (served.folder / "list.txt").write_text("# videos\n\na%20b/c.avi\n")
    (served.folder / "far.txt").write_text("a%20b/c.avi\nhttp://elsewhere.example/c.avi\n")
    found = pinned(listed(f"{served.url}/list.txt"))
    assert [(f.name, f.size) for f in found] == [("c.avi", 5)]
    assert found[0].version.startswith('"')
    assert [bytes(data) for _, data in Ranges(found[0]).fetch([(1, 3)])] == [b"23"]
    with pytest.raises(DataError, match=r"far\.txt:2: .* is on another server; give its own list"):
        listed(f"{served.url}/far.txt")
    with pytest.raises(DataError, match="a web server does not list its files; give the address"):
        listed(f"{served.url}/folder/")
    with pytest.raises(DataError, match=r"404.*none\.txt may not be read; see that"):
        listed(f"{served.url}/none.txt")


def test_names_in_a_list_need_no_escapes(served: Served) -> None:
    for name in ("c d.avi", "é.avi"):
        (served.folder / "a b" / name).write_bytes(b"1")
    (served.folder / "list.txt").write_text("a b/c d.avi\na%20b/é.avi\n", "utf-8")
    found = pinned(listed(f"{served.url}/list.txt"))
    assert [(f.name, f.size) for f in found] == [("c d.avi", 1), ("é.avi", 1)]


@pytest.mark.parametrize("line", ["http://[a/b.avi", "http://a:b/c.avi", "ftp://a/b.avi"])
def test_a_line_of_a_list_that_is_no_address_is_told(line: str, served: Served) -> None:
    (served.folder / "list.txt").write_text(f"a.avi\n{line}\n")
    with pytest.raises(DataError, match=r"list\.txt:2: "):
        listed(f"{served.url}/list.txt")


def test_a_password_in_the_address_of_a_list_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="leave them out") as refused:
        listed("https://me:hush@localhost/list.txt")
    assert "hush" not in str(refused.value)


def test_a_busy_server_is_asked_again_for_lists_and_sizes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "pause", lambda *_: None)
    (served.folder / "a.avi").write_bytes(b"1")
    (served.folder / "list.txt").write_text("a.avi\n")
    served.faults = ["503", "500", "429"]
    served.fails_all = True
    found = listed(f"{served.url}/list.txt")
    served.faults += ["503"]
    assert [f.size for f in pinned(found)] == [1]
    assert served.faults == []


def test_a_redirect_to_another_host_is_refused(served: Served) -> None:
    (served.folder / "a.avi").write_bytes(bytes(1000))
    file = pinned([RemoteFile(f"{served.url}/a.avi", -1, "")])[0]
    with serving(served.folder) as other:
        served.elsewhere = f"{other.url}/"
        with pytest.raises(DataError, match=ELSEWHERE):
            pinned([RemoteFile(f"{served.url}/a.avi", -1, "")])
        with pytest.raises(VideoError, match=ELSEWHERE):
            list(Ranges(file).fetch([(0, 10)]))
        assert other.spans == []


def test_a_bucket_whose_server_leads_to_another_host_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    (served.folder / "a b" / "a.avi").write_bytes(bytes(100))
    file = RemoteFile("s3://a%20b/a.avi", 100, "")
    monkeypatch.setattr(objects, "_bucket", lambda where: [file])
    monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
    assert listed("s3://corpus/") == [file]
    served.faults = ["503"]
    assert listed("s3://corpus/") == [file]  # not now: it is asked again before it is read
    served.elsewhere = served.url.replace("127.0.0.1", "localhost") + "/"
    with pytest.raises(DataError, match=ELSEWHERE):
        listed("s3://corpus/")
    with pytest.raises(VideoError, match=ELSEWHERE):  # and so is a later one, before it is read
        list(Ranges(file).fetch([(0, 10)]))


def test_a_file_that_lost_bytes_is_not_what_was_listed(served: Served, tmp_path: Path) -> None:
    (served.folder / "c.avi").write_bytes(bytes(1000))
    file = pinned([RemoteFile(f"{served.url}/c.avi", -1, "")])[0]
    unversioned = RemoteFile(file.url, file.size, "")
    (served.folder / "c.avi").write_bytes(bytes(999))
    for one in (file, unversioned):
        with pytest.raises(VideoError, match="not what it was"):
            Partial.at(tmp_path / "parts", one).need((0, 10))


def test_parts_of_another_version_are_not_taken(served: Served, tmp_path: Path) -> None:
    (served.folder / "c.avi").write_bytes(bytes(1000))
    file = RemoteFile(f"{served.url}/c.avi", 1000, "")
    parts = Partial.at(tmp_path / "parts", file)
    parts.need((0, 10))
    parts.save()
    assert Partial.at(tmp_path / "parts", file).held == [(0, 10)]
    other = RemoteFile(file.url, 1000, "another")
    assert Partial.at(tmp_path / "parts", other).held == []


def entry(source: str, video_id: str) -> Entry:
    return Entry(source, video_id, "set", "kpf", (), None, "meva")


def test_each_source_knows_its_videos_by_their_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [f"{CLIP}.r0.avi", f"{CLIP}.r13.avi", "VIRAT_S_000001.mp4", "..", "x.mp4", "a\x1b.avi"]
    monkeypatch.setattr(
        afar, "listed", lambda where: [RemoteFile(f"{where}/{n}", 9, "") for n in names]
    )
    entries = [entry("meva", CLIP), entry("virat", "VIRAT_S_000001"), entry("meva", "none")]
    sources = {"meva": MEVA, "virat": VIRAT}
    found = afar.placed(entries, sources, "s3://bucket/v", tmp_path)
    assert [e.video and e.video.name for e in found] == [names[1], names[2], None]
    assert found[0].remote == RemoteFile(f"s3://bucket/v/{names[1]}", 9, "")
    assert found[0].video is not None
    assert found[0].video.is_relative_to(tmp_path)
    (tmp_path / "v" / "w").mkdir(parents=True)
    (tmp_path / "v" / "w" / names[0]).touch()
    here = afar.placed(entries, sources, f"file://{tmp_path}/v", tmp_path)
    assert [e.video for e in here] == [tmp_path / "v" / "w" / names[0], None, None]
    with pytest.raises(SettingsError, match="--videos ftp://x: give s3://, https://, file://"):
        afar.placed(entries, sources, "ftp://x", tmp_path)


@pytest.mark.slow
def test_a_build_from_afar_has_the_local_bytes(
    demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    """Cut where the videos lie, planned with its bytes, and proved by whole videos."""
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    folder = next(data.rglob("video"))
    far = folder.rename(tmp_path / "far")
    names = sorted(p.name for p in far.iterdir())
    (far / "list.txt").write_text("".join(f"{name}\n" for name in names))
    sizes = sum((far / name).stat().st_size for name in names)
    with serving(far) as served:
        url = f"{served.url}/list.txt"
        args = ["--source=demo", f"--data={data}", f"--out={tmp_path / 'out'}", *DEMO_SETS]
        built = CliRunner().invoke(main, ["all", *args, f"--videos={url}"])
        assert built.exit_code == 0, built.output
        assert re.search(r"\d+ MB to fetch of \d+ MB elsewhere", built.output)
        assert served.sent <= sizes + (far / "list.txt").stat().st_size
        proved = CliRunner().invoke(main, ["verify", "--out", str(tmp_path / "out")])
        assert proved.exit_code == 0, proved.output
        assert re.search(r"\d+ MB to fetch: every video whole", proved.output)
    own = bytes_of(tmp_path / "out")
    index_units = [n for n in own if n.startswith("units/index/")]  # which know what they read
    assert {n: own[n] for n in own if n not in index_units} == {
        n: h for n, h in bytes_of(demo.path).items() if n not in index_units
    }


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    objects._client.cache_clear()
    with pytest.raises(DataError, match=r"pip install '\.\[remote\]'"):
        listed("s3://bucket/a")
