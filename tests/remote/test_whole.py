from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tinyvirat_build.remote import whole
from tinyvirat_build.remote.bucket import Listed
from tinyvirat_build.remote.transfer import proof


def film(path: Path, **options: str) -> Path:
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream("mpeg4", rate=30)
        stream.width, stream.height = 64, 48
        for n in range(30):
            picture = np.full((48, 64, 3), n * 8, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.avi", {}),
        ("a.mp4", {}),
        ("a.mp4", {"movflags": "faststart"}),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mov", {}),
    ],
)
def test_a_file_is_whole_and_no_shorter_one_is(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = film(tmp_path / name, **options)
    assert whole.fault(path) == ""
    content = path.read_bytes()
    ends = {len(content) - 1, len(content) // 2, len(content) // 9, 13}
    ends |= {content.find(mark) for mark in (b"idx1", b"moof", b"mfra")} - {-1}
    for end in ends:
        path.write_bytes(content[:end])
        assert whole.fault(path) or end < 12, end


def test_a_chunk_that_goes_past_the_end_is_a_fault(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi")
    content = bytearray(path.read_bytes())
    at = content.find(b"movi") - 4  # the list's length
    content[at : at + 4] = (len(content) + 100).to_bytes(4, "little")
    path.write_bytes(content)
    assert "cut off in the chunk" in (whole.fault(path) or "")


def test_a_file_of_another_container_is_not_known(tmp_path: Path) -> None:
    assert whole.fault(film(tmp_path / "a.mkv")) is None


def test_without_an_md5_the_container_proves_it(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi")
    size = path.stat().st_size
    assert proof(path, Listed("a.avi", size, '"0123456789abcdef0123456789abcdef-2"')) == (
        "container", "",
    )  # fmt: skip
    assert proof(path, Listed("a.avi", size + 1, '"0-2"'))[0] == "size"
    # Of the right size, but the end of it has not come.
    content = path.read_bytes()
    path.write_bytes(content[: content.find(b"idx1")].ljust(size, b"\0"))
    by, fault = proof(path, Listed("a.avi", size, '"0-2"'))
    assert (by, "index" in fault) == ("container", True)
