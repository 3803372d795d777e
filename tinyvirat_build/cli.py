"""The command line: each command parses, calls one library function, and prints.

Exit status: 0 built, 1 built with clips missing or a check that failed, 2 cannot build.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyvirat_build import __version__
from tinyvirat_build.errors import TinyviratError

if TYPE_CHECKING:
    from tinyvirat_build.config import Settings

STAGE_HELP = {
    "index": "Index the source videos' packets: size, rate, frame numbers.",
    "parse": "Read the annotation files into activities and boxes.",
    "merge": "Merge activities that overlap in space and time into tracks.",
    "segment": "Split tracks where the labels change.",
    "chunk": "Cut long segments into clips of a bounded length.",
    "crop": "Place each clip's window around its actors.",
    "partition": "Give whole groups of videos to train, val and test.",
    "filter": "Drop labels with too few training clips.",
    "plan": "Print what cutting would cost; write nothing.",
    "cut": "Cut the clips out of the source videos, one decoding pass each.",
    "publish": "Write the dataset in the released layout.",
    "stats": "Write statistics, figures and the report.",
}

Command = Callable[..., Any]


class _Group(click.Group):
    """Commands in the order of their use, and errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TinyviratError as e:
            if ctx.params.get("debug"):
                raise
            click.secho(f"error: {e}", fg="red", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("interrupted; run the same command to go on", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(1)


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="tinyvirat-build")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Build datasets of tiny, low-resolution actions from surveillance video.

    \b
    tinyvirat-build all --source meva --data DIR --out DIR
    tinyvirat-build all --source demo --out demo
    """


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        return functools.reduce(lambda c, option: option(c), reversed(options), command)

    return add


_source = click.option(
    "--source", "sources", multiple=True, metavar="NAME|FILE.yaml",
    help="meva, virat, demo, or the YAML file of your own corpus; may repeat.",
)  # fmt: skip
_data = click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder in which annotations and videos are found, at any depth.",
)  # fmt: skip
_out = click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="The build folder."
)
_settings = _options(
    click.option("--preset", metavar="NAME", help="A shipped preset; see `config --presets`."),
    click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="A YAML file of settings."
    ),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE",
        help="One setting, e.g. merge.threshold=0.5; may repeat.",
    ),
)  # fmt: skip
_running = _options(
    click.option(
        "--workers", type=click.IntRange(1), metavar="N", help="Processes; default: all processors."
    ),
    click.option(
        "--timeout", type=click.FloatRange(min=1), default=1800.0, metavar="SECONDS",
        help="Time limit of one video's task.  [default: 1800]",
    ),
    click.option(
        "--limit", type=click.IntRange(1), metavar="N",
        help="A trial: plan and cut only the first N videos, with the splits of the whole and no "
        "filter.",
    ),
    click.option("--rehash", is_flag=True, help="Read every input again, trust no time stamp."),
    click.option("--quiet", is_flag=True, help="No progress bars, no summary."),
)  # fmt: skip


@main.command("all")
@_source
@_data
@_out
@_settings
@click.option("--until", default="stats", metavar="STAGE", help="Stop after this stage.")
@_running
@click.pass_context
def all_(
    ctx: click.Context,
    sources: tuple[str, ...],
    data: Path | None,
    out: Path,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    until: str,
    **running: Any,
) -> None:
    """Build everything: parse, plan, cut, publish, statistics, report.

    What is finished already is not done again; a killed build goes on where it stopped.
    """
    from tinyvirat_build.config import Settings

    if not sources:
        raise click.UsageError("give --source meva, virat, demo or a YAML file")
    settings = Settings.load(preset, config, overrides)
    _run(ctx, sources, data, out, settings, first="index", until=until, **running)


def _run(
    ctx: click.Context,
    sources: tuple[str, ...],
    data: Path | None,
    out: Path,
    settings: Settings,
    *,
    first: str,
    until: str,
    workers: int | None,
    timeout: float,
    limit: int | None,
    rehash: bool,
    quiet: bool,
) -> None:
    from tinyvirat_build import engine, pipeline, summary

    request = pipeline.Request(
        sources, data, out, settings, workers or engine.default_workers(), timeout, limit, rehash,
        quiet,
    )  # fmt: skip
    outcome = pipeline.run(request, first=first, until=until)
    if not quiet:
        click.echo(summary.render(out, outcome, until=until))
    ctx.exit(outcome.status)


def _stage_command(stage: str) -> None:
    @main.command(stage, help=STAGE_HELP[stage] + "\n\nReads the tables of the stages before it.")
    @_source
    @_data
    @_out
    @_settings
    @_running
    @click.pass_context
    def command(
        ctx: click.Context,
        sources: tuple[str, ...],
        data: Path | None,
        out: Path,
        preset: str | None,
        config: Path | None,
        overrides: tuple[str, ...],
        limit: int | None,
        **running: Any,
    ) -> None:
        from tinyvirat_build.builds import open_build
        from tinyvirat_build.config import Settings

        if (out / "build.yaml").exists():
            build = open_build(out)
            sources = sources or build.sources
            data = data or build.data
            limit = limit or build.limit
            if not (preset or config):
                settings = build.settings.override(overrides)
            else:
                settings = Settings.load(preset, config, overrides)
        elif sources:
            settings = Settings.load(preset, config, overrides)
        else:
            raise click.UsageError(f"{out} holds no build yet: give --source and --data")
        _run(ctx, sources, data, out, settings, first=stage, until=stage, limit=limit, **running)


for _stage in STAGE_HELP:
    _stage_command(_stage)


@main.command()
@_out
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Check N clips only.")
@click.option("--repair", is_flag=True, help="Cut again what fails, then check again.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
@_data
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.")
@click.pass_context
def verify(
    ctx: click.Context,
    out: Path,
    sample: int | None,
    repair: bool,
    as_json: bool,
    data: Path | None,
    workers: int | None,
) -> None:
    """Prove that every clip equals its source, pixel for pixel, with another decoder.

    Also: frame counts by two readers, JSON against files, checksums, groups in two splits.
    """
    from tinyvirat_build import engine
    from tinyvirat_build import verify as checks
    from tinyvirat_build.builds import open_build

    build = open_build(out)
    workers = workers or engine.default_workers()
    report = checks.verify(build, data=data, sample=sample, repair=repair, workers=workers)
    click.echo(report.to_json() if as_json else report.render())
    ctx.exit(1 if report.problems else 0)


@main.command()
@click.argument("clip_id")
@_out
def inspect(clip_id: str, out: Path) -> None:
    """Show where a clip comes from: source, frames, window, activities, labels."""
    from tinyvirat_build import summary
    from tinyvirat_build.builds import open_build

    click.echo(summary.describe_clip(open_build(out), clip_id))


@main.command()
@_settings
@click.option("--presets", "list_presets", is_flag=True, help="List the shipped presets.")
def config(
    preset: str | None, config: Path | None, overrides: tuple[str, ...], list_presets: bool
) -> None:
    """Print the resolved settings as YAML, to copy and change."""
    from tinyvirat_build.config import Settings, presets

    if list_presets:
        click.echo("\n".join(presets()))
    else:
        click.echo(Settings.load(preset, config, overrides).to_yaml(), nl=False)
