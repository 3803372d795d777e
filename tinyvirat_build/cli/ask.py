"""What is asked of a corpus or of a build: checks, audits, comparisons, one clip."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tinyvirat_build import store
from tinyvirat_build.cli.group import (
    data_option,
    echo,
    json_option,
    out_option,
    request_of,
    request_options,
    settings_options,
    source_option,
    workers_option,
)
from tinyvirat_build.errors import SettingsError

_SHOWN = 20  # faults of a tree that are printed


@click.command(short_help="Say what is in a data folder, missing or faulty.")
@source_option
@data_option
@settings_options
@json_option
def doctor(
    sources: tuple[str, ...],
    data: Path | None,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what is in a data folder: what is there, missing, unknown or faulty.

    Also what the machine lacks for training, where it has a GPU.

    Exit status 1 where nothing can be built of it as it is.
    """
    from tinyvirat_build import sources as corpora
    from tinyvirat_build.ask.doctor import diagnose
    from tinyvirat_build.ask.machine import remarks
    from tinyvirat_build.settings import Settings

    if not sources:
        raise SettingsError(f"give --source {', '.join(corpora.BUILTIN)} or a YAML file")
    settings = Settings.load(preset, config, overrides)
    all_found = []
    for name in sources:
        source = corpora.get(name)
        folder = data or source.default_data(Path("demo"))
        if folder is None:
            raise SettingsError(f"source {source.name} needs --data, the folder of its files")
        all_found.append(found := diagnose(source, folder, settings))
        if not as_json:
            echo(found.render())
    if as_json:
        tree = {"sources": [asdict(f) for f in all_found], "machine": list(remarks())}
        echo(json.dumps(tree, indent=1, default=str))
    else:
        for remark in remarks():
            echo(remark)
    click.get_current_context().exit(1 if any(f.problems for f in all_found) else 0)


@click.command(short_help="Describe a folder of your own as a corpus.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", metavar="NAME", default="", help="The format, if you know it.")
@click.option("--force", is_flag=True, help="Write over the file of an earlier call.")
def init(folder: Path, form: str, force: bool) -> None:
    """Look into a folder of annotations and videos, and write DIR/DIR.yaml that describes it.

    Format, folders, size, rate and names are recognised; what you may want to add stands there as
    a comment. `tinyvirat-build doctor --source DIR/DIR.yaml` checks it, `all` builds it.
    """
    from tinyvirat_build.ask.init import recognise
    from tinyvirat_build.store import write_text

    found = recognise(folder, form)
    path = folder / f"{folder.resolve().name or 'corpus'}.yaml"
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already; give --force to write over it")
    write_text(path, found.render())
    echo(
        f"{path}: {store.many(len(found.entries), 'annotated video')} in {found.format}, "
        f"{found.names.total():,} activities of {len(found.names):,} names.\n"
        f"Next: tinyvirat-build doctor --source {path}"
    )


@click.command(short_help="Compare settings by what they yield, without pixels.")
@request_options
@workers_option
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Only the first N videos that give clips."
)
@json_option
def sweep(overrides: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Compare settings by yield and label completeness, without pixels.

    Each --set is an axis: --set merge.threshold=0.1,0.3,0.5 --set chunk.min_frames=8,16.
    A value that is a list stands in brackets. Parsing is done once, in --out.
    """
    from tinyvirat_build.ask import sweep as sweeps

    request = request_of(overrides=(), **asked)
    for line in sweeps.without_effect(request, overrides):
        echo(line, err=True)
    table = sweeps.sweep(request, overrides)
    echo(table.to_json(orient="records", indent=1) if as_json else sweeps.render(table))


@click.command(short_help="Prove that every clip equals its source, pixel for pixel.")
@out_option
@data_option
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Check N clips only.")
@click.option("--repair", is_flag=True, help="Make again what fails, then check again.")
@json_option
@workers_option
def verify(
    out: Path,
    data: Path | None,
    sample: int | None,
    repair: bool,
    as_json: bool,
    workers: int | None,
) -> None:
    """Prove that every clip equals its source, pixel for pixel, with another decoder.

    Also: frame counts by two readers, every file given away against the tables, checksums, the
    pack's rows and shards against the manifest and the clips, groups in two splits.
    """
    from tinyvirat_build import engine
    from tinyvirat_build.ask import verify as checks
    from tinyvirat_build.builds import open_build

    workers = workers or engine.default_workers()
    report = checks.verify(
        open_build(out), data=data, sample=sample, repair=repair, workers=workers
    )
    echo(report.to_json() if as_json else report.render())
    click.get_current_context().exit(1 if report.problems else 0)


@click.command(short_help="Are labels complete, do splits leak, are clips held?")
@out_option
@json_option
def audit(out: Path, as_json: bool) -> None:
    """Audit a build: are its labels complete, do its splits leak, are clips short or held."""
    from tinyvirat_build import audit as audits
    from tinyvirat_build.builds import open_build

    found = open_build(out).audit(quiet=False)
    echo(json.dumps(found.to_dict(), indent=1) if as_json else audits.render(found))


@click.command(short_help="Compare two builds, or a build and a published list.")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--listed", is_flag=True, help="Pass over rows that a partial list does not name.")
@click.option(
    "--explained",
    is_flag=True,
    help="Exit status 1 only where the tables know no reason for a difference.",
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write a page that shows both side by side, with pictures.",
)  # fmt: skip
@json_option
def compare(
    a: Path, b: Path, listed: bool, explained: bool, html: Path | None, as_json: bool
) -> None:
    """Compare two builds, or a build and a published list or tree (tiny_*_v2.json, CSV of rows).

    Exit status 1 on a difference.
    """
    from tinyvirat_build.ask import compare as comparisons

    sides = comparisons.load(a), comparisons.load(b)
    found = comparisons.compare(*sides, listed=listed)
    echo(found.to_json() if as_json else found.render())
    if html:
        from tinyvirat_build.ask.side_by_side import page
        from tinyvirat_build.store import write_text

        write_text(html, page(found, *sides))
        echo(f"wrote {html}", err=True)
    failed = found.unexplained > 0 if explained else found.differs
    click.get_current_context().exit(1 if failed else 0)


@click.command(short_help="Show where a clip comes from.")
@click.argument("name")
@out_option
@data_option
@click.option(
    "--picture", type=click.Path(path_type=Path), metavar="FILE.png",
    help="Draw its window on the source's frame, its frames and its track in time.",
)  # fmt: skip
@json_option
def inspect(name: str, out: Path, data: Path | None, picture: Path | None, as_json: bool) -> None:
    """Show where a clip comes from: source, frames, window, activities, labels.

    NAME is a clip id or its beginning, a released id, a number with its split (test/00225), a path
    as the lists have it (TinyVIRAT_V2/videos/test/00225.mp4), or a file name that one clip has.
    """
    from tinyvirat_build.ask.inspect import clip_facts, describe_clip, draw_picture
    from tinyvirat_build.builds import open_build

    build = open_build(out)
    facts = clip_facts(build, name)
    echo(json.dumps(facts, indent=1) if as_json else describe_clip(facts))
    if picture:
        draw_picture(build, name, picture, data)
        echo(f"wrote {picture}", err=as_json)


@click.command(short_help="Write the report anew, or that of a run's errors.")
@out_option
@click.option(
    "--run", type=click.Path(path_type=Path), metavar="DIR",
    help="A run that `evaluate` has scored: the clips that it gets most wrong, by class.",
)  # fmt: skip
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True,
    help="Which of the run's scores.",
)  # fmt: skip
def report(out: Path, run: Path | None, split: str) -> None:
    """Say where the report of a build is; with --run, write a page of the clips that it misses.

    The page, RUN/errors-SPLIT.html, is the gallery of the build with the scores beside it.
    """
    from tinyvirat_build.ask.errors_of_run import report_errors
    from tinyvirat_build.builds import open_build

    build = open_build(out)
    echo(f"wrote {report_errors(build, run, split)}" if run else str(build.report_page()))


@click.command(short_help="Write a build in the format of another tool or library.")
@click.option(
    "--to", "target", metavar="NAME", required=True,
    help="tinyvirat-v1, huggingface, webdataset, videomae or fiftyone: clips and labels; kwcoco or "
    "dive: the annotations, to correct them.",
)  # fmt: skip
@out_option
@click.option(
    "--dest", type=click.Path(path_type=Path), metavar="DIR",
    help="An empty or new folder; default: exports/NAME of the build.",
)  # fmt: skip
@click.option("--public", is_flag=True, help="A test clip tells neither its labels nor its source.")
def export(target: str, out: Path, dest: Path | None, public: bool) -> None:
    """Write a build in the format of another tool or library (docs/export.md).

    Files are hard links where the file system has them. Called again it does nothing while the
    build is the same, and writes the export anew when it is not.
    """
    from tinyvirat_build.builds import open_build

    found = open_build(out).export(target, dest, public=public)
    done = "wrote" if found.written else "nothing to do:"
    echo(f"{done} {found.path}, {found.files:,} files")
    if found.notes:
        echo(f"not in {target}: {'; '.join(found.notes)}")


@click.command(short_help="Make a training pack from an existing TinyVIRAT tree.")
@click.option(
    "--from", "tree", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="A TinyVIRAT tree of v1 or v2: the folder with its JSON files.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of the pack.",
)  # fmt: skip
@workers_option
def pack(tree: Path, out: Path, workers: int | None) -> None:
    """Make a training pack from an existing TinyVIRAT tree, the original release too."""
    from tinyvirat_build.pack.from_tree import pack_tree

    report = pack_tree(tree, out, workers=workers)
    echo(f"{store.many(report.clips, 'clip')} packed into {report.path}")
    if report.faults:
        echo(f"Not as their rows say: {store.many(len(report.faults), 'clip')}:")
        for fault in report.faults[:_SHOWN]:
            echo(f"  {fault['split']} {fault['id']}  {fault['path']}  {fault['what']}")
        more = f"… and {len(report.faults) - _SHOWN:,} more: " * (len(report.faults) > _SHOWN)
        echo(f"  {more}all in {report.path / 'faults.json'}")
    click.get_current_context().exit(1 if report.faults else 0)


COMMANDS = [init, doctor, sweep, verify, audit, compare, inspect, report, export, pack]
