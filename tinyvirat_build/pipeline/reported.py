"""The stage ``stats``: what the report is told, and whether it is still there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd

from tinyvirat_build import report, store
from tinyvirat_build.audit import findings
from tinyvirat_build.errors import VideoError
from tinyvirat_build.pipeline.audited import audit_tables
from tinyvirat_build.pipeline.complete import completeness
from tinyvirat_build.pipeline.folder import table_path, unit_path
from tinyvirat_build.pipeline.given import Corpus
from tinyvirat_build.pipeline.headlines import headlines_of
from tinyvirat_build.pipeline.on_video import load_index
from tinyvirat_build.records import KEYS, Key, StageResult
from tinyvirat_build.report import previews
from tinyvirat_build.report.gallery import Extras, Still
from tinyvirat_build.report.scripts import DATA, FOLDER, remove
from tinyvirat_build.sources import home_of
from tinyvirat_build.sources.files import cameras, fetching
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.source_pictures import picture_at

STILLS: Final = f"{FOLDER}/stills"
_WIDTH: Final = 640  # pixels of a still
_QUALITY: Final = 70


def stats(corpus: Corpus) -> StageResult:
    """Write statistics, figures and the report; no table."""
    out, settings, clips = corpus.out, corpus.settings, corpus["clips"]
    found = audit_tables(out, "clips", settings, corpus.classes)
    filmed = previews.named(previews.wanted(clips, settings), corpus["videos"])
    if filmed.empty:
        remove(out / previews.PREVIEWS)
    given = Extras(
        findings=findings(found, clips, corpus["videos"]),
        indoor={name: c.indoor for name, c in cameras().items() if c.indoor is not None},
        stills=dict(_stills(corpus, clips)) if settings.report.previews != "none" else {},
        remedy=_remedy(corpus, clips),
        headlines=tuple(headlines_of(corpus["issues"], settings)),
        complete=tuple(completeness(out, settings)),
        codec=settings.encode.codec,
        previews=previews.make_previews(filmed, out),
    )
    if not given.stills:
        remove(out / STILLS)
    report.publish_statistics(out, settings, corpus.classes, given)
    return StageResult(pd.DataFrame())


def _remedy(corpus: Corpus, clips: pd.DataFrame) -> str:
    """What to do where clips have no picture for want of their source video."""
    missing = clips[clips["reason"] == "no_video"]
    if missing.empty:
        return ""
    videos = sorted(set(missing["video_id"].astype(str)))
    how = fetching(videos, [corpus["issues"]])
    lacking = {*missing["source"].astype(str)}
    homes = [s.name for s in corpus.sources if s.name in lacking and home_of(s) is not None]
    commands = [f"tinyvirat-build fetch --source {name} --data DIR" for name in homes]
    by = f" ({' and '.join(commands)} does it, or says how)" if commands else ""
    names = ", ".join(videos[:3]) + (", …" if len(videos) > 3 else "")
    return (
        f"Of {store.many(len(missing), 'clip')} there are no pictures, for want of "
        f"{store.many(len(videos), 'source video')} in the data folder ({names}): "
        f"{how}{by}, put them anywhere below the data folder, and run tinyvirat-build all again."
    )


def _stills(corpus: Corpus, clips: pd.DataFrame) -> Iterator[tuple[Key, Still]]:
    """A keyframe of each source video that clips were cut from, reduced, at the first clip.

    Made in a folder that takes its place whole: a still costs one frame.
    """
    cut = clips[clips["path"].notna()]
    first = cut.groupby([cut[k].astype(str) for k in KEYS])["start"].min().to_dict()
    with store.atomic_folder(corpus.out / STILLS) as folder:
        for number, entry in enumerate(e for e in corpus.entries if tuple(e.key) in first):
            file = f"{number}.jpg"
            frame = _still(corpus, entry.video, unit_path(corpus.out, "index", entry),
                           int(first[tuple(entry.key)]), folder / file)  # fmt: skip
            if frame is not None:
                yield entry.key, Still(frame, f"{STILLS}/{file}")


def _still(corpus: Corpus, video: Path | None, unit: Path, start: int, file: Path) -> int | None:
    """Write a still of the last keyframe up to a frame; its number, or None where there is none."""
    if video is None:
        return None
    try:
        index = load_index(unit)
    except VideoError:
        return None
    frame = _key_before(index, start)
    picture = picture_at(video, index, frame)
    if picture is None:
        return None
    height, width = picture.shape[:2]
    size = (min(_WIDTH, width), max(1, round(height * min(1, _WIDTH / width))))
    small = cv2.resize(picture[..., ::-1], size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(file), small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return frame


def _key_before(index: VideoIndex, frame: int) -> int:
    keys = np.sort(index.frame[index.sync])
    keys = keys[(keys >= 0) & (keys <= frame)]
    return int(keys[-1]) if len(keys) else frame


def there(corpus: Corpus) -> bool:
    """Whether the report, its data and its tables are still on disk."""
    names = ("report.html", "stats/stats.json", "stats/table1.md", "stats/table1.csv")
    own = (f"{FOLDER}/report.js", f"{FOLDER}/report.css", f"{DATA}/head.js")
    if not all((corpus.out / name).is_file() for name in (*names, *own)):
        return False
    if (corpus.out / previews.PREVIEWS).is_dir():
        return True
    clips = store.read_table(table_path(corpus.out, "clips"), ["path", "pack_file"])
    return previews.wanted(clips, corpus.settings).empty
