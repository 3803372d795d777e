"""The table of stages: what each reads, what it writes, and the function that does it.

A run takes the stages in the order of :data:`STAGES`. Commands, keys, tables, summary, sweep and
reference follow from the table: a new stage is one function and one line here. Nothing is
imported for a stage before it runs, so that ``--help`` does not wait for pandas.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from tinyvirat_build.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    ``scope``: what it works on. ``file``: one source video's file. ``video``: one video's tables,
    in one process with the ``video`` stages beside it. ``corpus``: the tables of all videos.
    ``estimate``: the same, and it writes nothing.

    ``reads``: tables, each as the last stage before wrote it, with the columns that count where
    not all do (``videos:width,height``), and inputs that are no tables (see ``keys.INPUTS``).

    ``writes``: tables; the first is the result's ``table``, others are its ``more``. A table that
    several stages write is in the end the last one's.

    ``settings``: the dotted names of the settings that the result depends on.

    ``run``: ``module:function``, imported where it is called. It is given a ``given.Video`` or
    ``given.Corpus``, a mapping of tables by name with their settings, and returns a
    ``StageResult``. With ``together`` it may be given ``given.VideoBatch`` as well.
    """

    name: str
    scope: Literal["file", "video", "corpus", "estimate"]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    settings: tuple[str, ...]
    run: str
    help: str
    version: int = 1  # a new one where the results change: finished builds redo the stage
    beyond_limit: bool = False  # also for videos that --limit leaves out
    folder: str = ""  # of the build, where its files lie in one folder a video
    instead: str = ""  # what stands in the place of a video whose work crashed or hung
    there: str = ""  # whether the files that it wrote beside its unit are still there
    together: bool = False  # whether ``run`` takes the tables of several videos at once, too
    apart: bool = False  # of many videos in a process of its own, which gives all memory back

    def reads_of(self) -> dict[str, list[str]]:
        """What it reads, each with the columns that count; none where all do.

        >>> STAGES[1].reads_of()["videos"]
        ['width', 'height']
        """
        pairs = (one.partition(":") for one in self.reads)
        return {name: columns.split(",") if columns else [] for name, _, columns in pairs}


_VIDEO: Final = "tinyvirat_build.pipeline.on_video"
_CORPUS: Final = "tinyvirat_build.pipeline.on_corpus"
_REPORT: Final = "tinyvirat_build.pipeline.reported"

STAGES: tuple[Stage, ...] = (
    Stage(
        "index", "file", ("video", "entry"), ("videos",), (),
        f"{_VIDEO}:index", "Index the source videos' packets: size, rate, frame numbers.",
        version=7, beyond_limit=True, instead=f"{_VIDEO}:not_indexed", together=True,
    ),
    Stage(
        "parse", "video", ("annotations", "label_maps", "videos:width,height"),
        ("activities", "boxes", "actors"), ("parse",),
        f"{_VIDEO}:parse", "Read the annotation files into activities and boxes.",
        version=5, beyond_limit=True, instead=f"{_VIDEO}:not_parsed",
    ),
    Stage(
        "merge", "video", ("activities", "boxes"), ("tracks",), ("merge",),
        f"{_VIDEO}:merge", "Merge activities that overlap in space and time into tracks.",
        version=3, together=True,
    ),
    Stage(
        "segment", "video", ("tracks", "activities"), ("segments",), ("merge.unit",),
        f"{_VIDEO}:segment", "Split tracks where the labels change.", together=True,
    ),
    Stage(
        "chunk", "video", ("segments", "tracks"), ("chunks",), ("chunk",),
        f"{_VIDEO}:chunk", "Cut long segments into clips of a bounded length.", version=3,
        together=True,
    ),
    Stage(
        "crop", "video",
        ("chunks", "segments", "tracks", "activities", "boxes", "videos:width,height"),
        ("clips_planned",),
        ("crop", "crop.names", "merge.unit", "merge.bridge", "chunk.min_frames"),
        f"{_VIDEO}:crop", "Place each clip's window around its actors.", version=4,
        together=True,
    ),
    Stage(
        "partition", "corpus",
        ("clips_planned", "all_activities", "groups", "segments", "tracks"),
        ("clips_partitioned",), ("partition",),
        f"{_CORPUS}:partition", "Give whole groups of videos to train, val and test.",
        version=3, apart=True,
    ),
    Stage(
        "filter", "corpus", ("clips_partitioned", "trial"), ("clips_filtered",), ("filter",),
        f"{_CORPUS}:filter", "Drop labels with too few training clips.", version=3, apart=True,
    ),
    Stage(
        "plan", "estimate", ("clips_filtered",), (), ("encode",),
        "tinyvirat_build.pipeline.cost:estimate", "Print what cutting would cost; write nothing.",
    ),
    Stage(
        "cut", "file",
        ("clips_filtered:clip_id", "activities:activity_id,start,end,actors", "boxes",
         "videos:fingerprint", "ffmpeg"),
        ("cuts",), ("encode", "videos.max_held"),
        f"{_VIDEO}:cut", "Cut the clips out of the videos, one decoding pass each.",
        version=8, folder="clips", instead=f"{_VIDEO}:not_cut",
        there=f"{_VIDEO}:clips_there",
    ),
    Stage(
        "publish", "corpus", ("clips_filtered", "cuts", "release", "trial"), ("clips",),
        ("publish", "encode", "classes", "preset"),
        f"{_CORPUS}:publish", "Write the dataset in the released layout.",
        version=3, there=f"{_CORPUS}:dataset_there",
    ),
    Stage(
        "stats", "corpus",
        ("clips", "issues", "balance", "videos", "activities", "boxes", "actors", "tracks",
         "segments", "chunks", "clips_planned", "clips_partitioned", "clips_filtered"),
        (), ("report",),
        f"{_REPORT}:stats", "Write statistics, figures and the report.",
        version=8, there=f"{_REPORT}:there",
    ),
)  # fmt: skip


def names() -> list[str]:
    """The names of all stages, in their order."""
    return [s.name for s in STAGES]


def order_of(stage: str) -> int:
    """A stage's place in the order.

    Raises:
        SettingsError: there is no such stage.
    """
    if stage not in names():
        raise SettingsError(f"no stage {stage!r}; the stages are {', '.join(names())}")
    return names().index(stage)


def writer_of(table: str, before: str = "") -> Stage:
    """The last stage that writes a table; before another stage, where one is named.

    >>> writer_of("clips_planned").name
    'crop'
    """
    end = order_of(before) if before else len(STAGES)
    return next(s for s in reversed(STAGES[:end]) if table in s.writes)


def stages_before(stage: Stage) -> tuple[Stage, ...]:
    """The stages before another."""
    return STAGES[: order_of(stage.name)]


def steps() -> list[tuple[Stage, ...]]:
    """The stages in the parts that a run plans and does at once: ``video`` stages together."""
    parts: list[tuple[Stage, ...]] = []
    for stage in STAGES:
        together = parts and stage.scope == parts[-1][-1].scope == "video"
        parts[-1:] = [(*parts[-1], stage)] if together else [*parts[-1:], (stage,)]
    return parts


def clip_tables() -> list[str]:
    """The tables of clips, the last one first."""
    written = [t for s in reversed(STAGES) for t in s.writes if t.startswith("clips")]
    return list(dict.fromkeys(written))


def modules() -> list[str]:
    """The modules of the stages' functions."""
    return list(dict.fromkeys(s.run.partition(":")[0] for s in STAGES))


def resolve(place: str) -> Callable[..., Any]:
    """The function at ``module:function``."""
    found: Callable[..., Any] = pkgutil.resolve_name(place)
    return found
