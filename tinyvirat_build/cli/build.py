"""``all`` and the stages: everything that builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyvirat_build.cli.group import (
    Command,
    data_option,
    inputs_of,
    out_option,
    running_options,
    settings_of,
    settings_options,
    source_option,
)
from tinyvirat_build.pipeline.stages import STAGES, Stage

if TYPE_CHECKING:
    from tinyvirat_build.settings import Settings


@click.command("all", short_help="Build everything, from the annotations to the report.")
@source_option
@data_option
@out_option
@settings_options
@click.option("--until", default=STAGES[-1].name, metavar="STAGE", help="Stop after this stage.")
@running_options
def all_(
    sources: tuple[str, ...],
    data: Path | None,
    out: Path,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    until: str,
    limit: int | None,
    **running: Any,
) -> None:
    """Build everything: parse, plan, cut, publish, statistics, report.

    What is finished already is not done again; a killed build goes on where it stopped. Without
    --source a build is brought up to date with its own sources and settings.
    """
    from tinyvirat_build.settings import Settings

    if sources:
        settings = Settings.load(preset, config, overrides)
    else:
        sources, data, limit = inputs_of(out, sources, data, limit)
        settings = settings_of(out, preset, config, overrides)
    _run(sources, data, out, settings, first=STAGES[0].name, until=until, limit=limit, **running)


def _run(
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
    from tinyvirat_build import engine
    from tinyvirat_build.ask import summary
    from tinyvirat_build.pipeline.request import Request
    from tinyvirat_build.pipeline.run import run

    request = Request(
        sources, data, out, settings, workers or engine.default_workers(), timeout, limit, rehash,
        quiet,
    )  # fmt: skip
    outcome = run(request, first=first, until=until)
    if not quiet:
        click.echo(summary.render(out, outcome, until=until, settings=settings))
    click.get_current_context().exit(outcome.status)


_figures_option = click.option(
    "--figures", is_flag=True, help="Only draw Figures 2 and 3, of a plan too that is not cut yet."
)


def _unchanged(command: Command) -> Command:
    return command


def _stage_command(stage: Stage) -> click.Command:
    at: dict[str, Any] = {"first": stage.name, "until": stage.name}
    own: Callable[[Command], Command] = _figures_option if stage.name == "stats" else _unchanged

    @click.command(stage.name, help=f"{stage.help}\n\nReads the tables of the stages before it.")
    @source_option
    @data_option
    @out_option
    @settings_options
    @running_options
    @own
    def command(
        sources: tuple[str, ...],
        data: Path | None,
        out: Path,
        preset: str | None,
        config: Path | None,
        overrides: tuple[str, ...],
        limit: int | None,
        figures: bool = False,
        **running: Any,
    ) -> None:
        if figures:
            from tinyvirat_build.builds import open_build

            for path in open_build(out).draw_figures():
                click.echo(f"wrote {path}")
            return
        sources, data, limit = inputs_of(out, sources, data, limit)
        settings = settings_of(out, preset, config, overrides)
        _run(sources, data, out, settings, limit=limit, **at, **running)

    return command


COMMANDS = [all_, *map(_stage_command, STAGES)]
