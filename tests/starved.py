"""Give a part of the work less and less memory: its result is whole, or it is told that it lacked.

Each try is a process of its own, forked once everything is loaded, whose address space may grow
by so many bytes and no more.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from tinyvirat_build import open_build
from tinyvirat_build.report import moving
from tinyvirat_build.store.means import lacking
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video

ROOMS = (0, *(1 << n for n in range(16, 27, 2)))
LACKED = "lacked"


def use_up_all_but(room: int) -> list[bytearray]:
    """Leave this process so many bytes of memory: what it holds, it must keep."""
    spare = mmap.mmap(-1, max(room, 1))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)
    held = []
    for size in (1 << n for n in range(22, 11, -1)):
        with contextlib.suppress(MemoryError):
            while True:
                held.append(bytearray(size))
    spare.close()
    return held


def tried(work: Callable[[], object], room: int | None) -> str:
    """What came of the work: a digest of its result, that it lacked memory, or another error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        held = use_up_all_but(room) if room is not None else None
        try:
            found = sha256(repr(work()).encode()).hexdigest()
        except Exception as e:
            found = LACKED if lacking(e) else repr(e)
        del held
        os.write(writing, found.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    return found or "died"


def outcomes(work: Callable[[], object], rooms: Sequence[int]) -> set[str]:
    """What came of the work in all rooms; ``whole`` where it is what it is without a limit."""
    whole = tried(work, None)
    assert len(whole) == 64, whole
    return {"whole" if (found := tried(work, room)) == whole else found for room in rooms}


def main(out: Path, data: Path) -> None:
    """Index, cut and picture a video of a build."""
    build = open_build(out)
    clips = build.table("clips")
    entry = next(e for e in build.entries(data).values() if e.video is not None)
    assert entry.video is not None
    video, own = entry.video, clips[clips["video_id"].astype(str) == entry.video_id]
    index = index_video(video)

    def cut() -> list[object]:
        with TemporaryDirectory() as folder:
            cuts = cut_video(video, index, own, folder, build.settings.encode, max_held=0.1)
            return list(cuts["sha256"]) + list(cuts["reason"])

    def pictured(kind: str) -> list[bytes]:
        rows = own.assign(preview=f"a.{kind}").to_dict("records")
        return [moving.encode(row, out) for row in rows]

    works: dict[str, Callable[[], object]] = {
        "index": lambda: index_video(video).to_bytes(),
        "cut": cut,
        "films": lambda: pictured(moving.FILM),
        "strips": lambda: pictured(moving.STRIP),
    }
    for name, work in works.items():
        print(name, *sorted(outcomes(work, ROOMS)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
