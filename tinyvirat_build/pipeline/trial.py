"""A trial: of a corpus the first videos that give clips."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tinyvirat_build.errors import TinyviratError
from tinyvirat_build.pipeline.given import Video
from tinyvirat_build.pipeline.stages import resolve, stages_before, writer_of
from tinyvirat_build.pipeline.tasks import arrow_of
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry
from tinyvirat_build.store.means import raise_if_lacking


def within_limit(
    entries: Sequence[Entry],
    limit: int | None,
    of_source: Mapping[str, Settings],
    classes: tuple[str, ...],
) -> Sequence[Entry]:
    """The first so many videos of which clips are planned.

    Their annotations alone say so: wherever the videos lie, the same ones are meant. Where none
    gives a clip they are the first.
    """
    if limit is None or limit >= len(entries):
        return entries
    useful = (e for e in entries if _gives_clips(e, of_source[e.source], classes))
    return list(itertools.islice(useful, limit)) or entries[:limit]


def _gives_clips(entry: Entry, settings: Settings, classes: tuple[str, ...]) -> bool:
    """Plan a video as if it were not here, and write nothing.

    One whose planning fails gives none: that costs it alone, as in a build.
    """
    absent = replace(entry, video=None, remote=None)
    try:
        return _planned(Video(absent, settings, classes, Path(), {}, {})) > 0
    except TinyviratError:
        raise
    except Exception as e:
        raise_if_lacking(e)
        return False


def _planned(video: Video) -> int:
    """So many clips are planned of a video."""
    planned = writer_of("clips_partitioned")
    for stage in stages_before(planned):
        arrow = arrow_of(stage, resolve(stage.run)(video))
        video.keep({name: arrow[name] for name in stage.writes})
        if "activities" in stage.writes and not len(video["activities"]):
            return 0
    return len(video.arrow("clips_planned"))
