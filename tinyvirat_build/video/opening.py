"""How a source is opened: which kinds of file are videos, and which of their streams is the video.

Whoever reads a source opens it here, so that all read the same stream of the same kind of file.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Final

import av
from av.codec.context import Flags
from av.stream import Disposition

from tinyvirat_build.errors import VideoError

# FFmpeg opens lists, playlists and images as well, and follows what they name: other files, which
# no checksum of the source covers, or addresses. Only what holds its pictures itself is a video.
DEMUXERS: Final = (
    "avi,mov,matroska,mpegts,mpeg,flv,asf,ogg,mxf,nut,rm,dv,gxf,wtv,dhav,ivf,yuv4mpegpipe,"
    "h264,hevc,vvc,m4v,mpegvideo,mjpeg,vc1,obu"
)
_LISTS: Final = {
    b"ffconcat": "an ffconcat list",
    b"#EXTM3U": "an HLS playlist",
    b"<MPD": "a DASH manifest",
    b"v=0": "an SDP description",
}
_NO_VIDEO: Final = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_DEFAULT_MARK: Final = 5_000_000  # pixels that the mark `default` is worth to the ffmpeg program


def open_source(path: Path, file: Any = None) -> Any:
    """Open a video with PyAV, whatever its titles are encoded in; by ``file`` if it is given.

    An absolute path, for FFmpeg takes what stands before a colon for a protocol.
    """
    options = {"format_whitelist": DEMUXERS}
    return av.open(file or str(path.absolute()), options=options, metadata_errors="replace")


def unreadable(path: Path, error: OSError | av.error.FFmpegError) -> VideoError:
    """What is said of a video that cannot be opened: of its access, or of what it holds."""
    if isinstance(error, OSError):
        what = f"{error.strerror or type(error).__name__}; make the file readable, then build again"
        return VideoError("unreadable", f"{path}: {what}")
    kind = _kind_of_list(path)
    if kind is None and isinstance(error, av.error.ArgumentError):  # not on the list above
        kind = "of a kind that holds no video (a list of files, an image, sound)"
    if kind is not None:
        return VideoError("no_container", f"{path} is {kind}; give the recording itself")
    what = f"{error.strerror or type(error).__name__}; replace the file"
    return VideoError("unreadable", f"{path}: {what}")


def _kind_of_list(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return None
    if head.startswith(b"<?xml"):
        head = head[max(head.find(b"<MPD"), 0) :]
    return next((kind for mark, kind in _LISTS.items() if head.startswith(mark)), None)


def video_streams(container: Any) -> list[Any]:
    """The streams that are videos: no cover picture, no thumbnails, no still."""
    return [s for s in container.streams.video if not s.disposition & _NO_VIDEO]


def video_stream(container: Any) -> Any:
    """The stream that the ffmpeg program shows, ready to decode as players do; None without any.

    Of several it takes the one that the file marks as default, else the largest picture, else
    the first.

    Raises:
        VideoError: ``unreadable``, where FFmpeg does not know its codec.
    """

    def rank(stream: Any) -> int:
        marked = bool(stream.disposition & Disposition.default)
        known = stream.codec_context is not None  # by FFmpeg; a size has only what it knows
        return (int(stream.width * stream.height) if known else 0) + _DEFAULT_MARK * marked

    stream = max(video_streams(container), key=rank, default=None)
    if stream is not None and stream.codec_context is None:
        what = "the codec of its video is not known; convert it, or mend the file"
        raise VideoError("unreadable", f"{container.name}: {what}")
    if stream is not None:
        stream.codec_context.thread_count = 1
        # Without it what the codec crops at the left is left in, for the sake of aligned memory.
        stream.codec_context.flags |= Flags.unaligned
    return stream


def ffmpeg_version() -> str:
    """The versions of the FFmpeg libraries that decode and encode, and of the machine's kind."""
    codec = av.library_versions["libavcodec"]
    return f"av {av.__version__}, libavcodec {'.'.join(map(str, codec))}, {platform.machine()}"
