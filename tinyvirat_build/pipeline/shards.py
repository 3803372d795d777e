"""Shards: a build that several machines cut in parts, each in a folder of its own, and one joins.

Each shard plans everything, so that splits and filters are those of the whole, and cuts every n-th
of the videos that have clips. Joined, their folders are the build that one machine makes alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

from tinyvirat_build import store
from tinyvirat_build.errors import BuildError
from tinyvirat_build.pipeline import folder
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.pipeline.plan import plan_videos
from tinyvirat_build.pipeline.request import Outcome, Request
from tinyvirat_build.pipeline.run import look, run
from tinyvirat_build.pipeline.stages import STAGES, Stage, stages_before, steps, writer_of
from tinyvirat_build.pipeline.tasks import Task

_PLAN: Final = "clips_filtered"  # the table of all clips that are to be cut


def merge(
    shards: Sequence[Path],
    out: Path | None = None,
    *,
    data: Path | None = None,
    quiet: bool = False,
) -> Outcome:
    """Join shards into ``out``, by default into the first, and publish the whole.

    Raises:
        BuildError: a folder is no build or in use; they differ in settings, versions or data; or a
            video is cut in none of them.
    """
    folders = list(dict.fromkeys(Path(s).resolve() for s in shards))
    builds = [OpenedBuild.open(one) for one in folders]
    target = out.resolve() if out else folders[0]
    if target not in folders and (target / "build.yaml").exists():
        builds.append(OpenedBuild.open(target))
    _refuse_unequal([build.path for build in builds])
    first = builds[0]
    request = Request(
        first.sources,
        data or first.data,
        target,
        first.settings,
        limit=first.limit,
        quiet=quiet,
        videos=first.videos,
    )
    after = STAGES[STAGES.index(writer_of("cuts")) + 1].name
    return run(request, first=after, before=lambda: _join(folders, request))


def _refuse_unequal(folders: Sequence[Path]) -> None:
    """Make sure that folders hold one build: settings, sources, versions, this machine's too.

    Raises:
        BuildError: they do not.
    """
    files = [one / "build.yaml" for one in folders]
    trees = [_flat(yaml.safe_load(file.read_text("utf-8"))) for file in files]
    here = _flat({"versions": folder.versions()})
    others = [*zip(files[1:], trees[1:], strict=True), ("this machine", trees[0] | here)]
    for name, tree in others:
        for key in sorted(trees[0].keys() | tree.keys()):
            if trees[0].get(key) != tree.get(key):
                raise BuildError(
                    f"{key} is {trees[0].get(key)!r} in {files[0]}, {tree.get(key)!r} in {name}; "
                    "shards need equal settings and versions: build those anew that differ"
                )
    keys = [store.table_key(folder.table_path(one, _PLAN)) for one in folders]
    for one, own in zip(folders, keys, strict=True):
        if own is None or not folder.holds(folder.table_path(one, _PLAN)):
            raise BuildError(
                f"{one} is not planned to its end with its settings; run `tinyvirat-build all "
                f"--shard … --out {one}` again"
            )
        if own != keys[0]:
            raise BuildError(
                f"{one} was planned from other data than {folders[0]}; see that both are given the "
                "same --data, and build one of them anew"
            )


def _flat(tree: Any, name: str = "") -> dict[str, Any]:
    """A tree's values by their dotted names."""
    if not isinstance(tree, dict) or not tree:
        return {name: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{name}.{key}" if name else str(key))
    return found


def _join(shards: Sequence[Path], request: Request) -> None:
    """Take each video's clips, and what the tables say of them, from a shard that has it.

    Raises:
        BuildError: none has it, or a shard is in use.
    """
    with ExitStack() as held:
        for one in shards:
            if one != request.out:
                held.enter_context(store.locked(one, "building"))
        _take_plan(shards[0], request.out)
        cut = writer_of("cuts")
        tasks = plan_videos(
            next(step for step in steps() if cut in step), look(request, cut.name, cut.name)
        )
        places = [*dict.fromkeys([request.out, *shards])]
        found = [_best(places, task) for task in tasks]
        if None in found:
            missing = [n for n, place in enumerate(found) if place is None]
            raise BuildError(_missing(tasks, missing, shards))
        for place, task in zip(found, tasks, strict=True):
            if place is not None and place != request.out:
                _take(place, task, cut)


def _take_plan(shard: Path, out: Path) -> None:
    """Copy all units before the cut and then the table of clips, unless they are there."""
    source, target = (folder.table_path(one, _PLAN) for one in (shard, out))
    if store.table_key(source) == store.table_key(target):
        return
    for stage in stages_before(writer_of("cuts")):
        units = shard / "units" / stage.name
        if units.exists():
            with store.atomic_folder(out / "units" / stage.name) as partial:
                shutil.copytree(units, partial, dirs_exist_ok=True)
    store.write_bytes(target, source.read_bytes())


def _best(places: Sequence[Path], task: Task) -> Path | None:
    """Of some folders the first in which one video's work is finished.

    Where none is, one in which it failed for a reason that may pass.
    """
    (unit,) = task.units
    name = unit.path.relative_to(task.out)
    keys = {place: store.unit_key(place / name) for place in places}
    finished = [place for place, key in keys.items() if key == unit.key]
    failed = [place for place, key in keys.items() if store.is_transient(key)]
    return next(iter([*finished, *failed]), None)


def _take(place: Path, task: Task, cut: Stage) -> None:
    """Have one video's clips from another folder, and then the unit that names them."""
    (unit,) = task.units
    target = folder.of_video(task.out / cut.folder, task.entry)
    source = place / target.relative_to(task.out)
    with store.atomic_folder(target) as partial:
        for file in source.iterdir() if source.exists() else ():
            store.link_or_copy(file, partial / file.name)
    store.write_bytes(unit.path, (place / unit.path.relative_to(task.out)).read_bytes())


def _missing(tasks: Sequence[Task], missing: Sequence[int], shards: Sequence[Path]) -> str:
    """What is said of videos that no shard has cut."""
    noted = [_noted(one) for one in shards]
    of = {n for _, n in filter(None, noted)}
    ids = ", ".join(tasks[i].entry.video_id for i in missing[:3])
    what = f"{len(missing)} of {len(tasks)} videos ({ids}{', …' * (len(missing) > 3)}) are cut in "
    what += "none of these folders; "
    if len(of) != 1:
        return f"{what}run `tinyvirat-build all --out {shards[0]}` to cut them here"
    n = of.pop()
    lacking = sorted({i % n for i in missing})
    names = ", ".join(f"{i}/{n}" for i in lacking)
    return f"{what}they are of shard {names}: run `all --shard` for it again, and give its folder"


def _noted(out: Path) -> tuple[int, int] | None:
    """Which shard, i of n, the last run in a folder was; None where it was none."""
    try:
        i, n = json.loads((out / "log" / "last-run.json").read_text("utf-8"))["part"]["shard"]
        return int(i), int(n)
    except (OSError, ValueError, TypeError, KeyError):
        return None
