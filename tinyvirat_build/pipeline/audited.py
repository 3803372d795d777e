"""The audit of a build's tables, video by video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinyvirat_build import store
from tinyvirat_build.audit import Audit, audit
from tinyvirat_build.pipeline.folder import table_path
from tinyvirat_build.records import columns
from tinyvirat_build.settings import Settings

_HEAVY = ("x", "y", "activities", "seen_activities")


def audit_tables(
    out: Path, clips: str, settings: Settings, classes: Sequence[str], *, quiet: bool = True
) -> Audit:
    """Audit the tables of the build in ``out``; ``clips`` names the table of clips.

    Near-duplicates are sought where that is the manifest. Videos are looked at one after the
    other, so that memory does not grow with their number.
    """
    light = [name for name in columns(clips) if name not in _HEAVY]
    tables = {n: store.read_table(table_path(out, n)) for n in ("videos", "issues", "balance")}
    tables["clips"] = store.read_table(table_path(out, clips), light)
    by_video = store.read_by_video({n: table_path(out, n) for n in (clips, "activities", "boxes")})
    return audit(
        tables,
        ((rows[clips], rows["activities"], rows["boxes"]) for _, rows in by_video),
        classes=classes,
        targets=settings.partition.targets,
        root=out if clips == "clips" else None,
        quiet=quiet,
    )
