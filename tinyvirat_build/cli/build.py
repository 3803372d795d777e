"""``all`` and the stages: everything that builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tinyvirat_build.cli.group import (
    data_option,
    echo,
    folder,
    json_option,
    options,
    request_of,
    request_options,
    running_options,
    shard_option,
)
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.pipeline.stages import STAGES, Stage

if TYPE_CHECKING:
    from tinyvirat_build.pipeline.request import Outcome, Request
    from tinyvirat_build.settings import Settings


@click.command("all", short_help="Build everything, from the annotations to the report.")
@request_options
@click.option("--until", default=STAGES[-1].name, metavar="STAGE", help="Stop after this stage.")
@shard_option
@running_options
@json_option
def all_(sources: tuple[str, ...], until: str, as_json: bool, **asked: Any) -> None:
    """Build everything: parse, plan, cut, publish, statistics, report.

    What is finished already is not done again; a killed build goes on where it stopped. Without
    --source a build is brought up to date with its own sources and settings.
    """
    request = request_of(sources=sources, anew=bool(sources), **asked)
    status = _run(request, first=STAGES[0].name, until=until, as_json=as_json)
    click.get_current_context().exit(status)


def _run(request: Request, *, first: str, until: str, as_json: bool = False) -> int:
    """Run stages and tell what came of it; returns the exit status."""
    from tinyvirat_build.pipeline.run import last_of, run

    until = last_of(request, until)
    outcome = run(request, first=first, until=until)
    if as_json:
        from tinyvirat_build.ask.summary import facts

        echo(json.dumps(facts(request.out, outcome, until, request.settings), indent=1))
        return outcome.status
    return _tell(request.out, outcome, until, request.settings, quiet=request.quiet)


def _tell(out: Path, outcome: Outcome, until: str, settings: Settings, *, quiet: bool) -> int:
    from tinyvirat_build.ask import summary

    if not quiet:
        echo(summary.render(out, outcome, until=until, settings=settings))
    elif outcome.status:
        echo(summary.shortfall(out, outcome), err=True)
    return outcome.status


@click.command("merge-shards", short_help="Join the folders of `all --shard` into one build.")
@click.argument("shards", nargs=-1, required=True, type=folder, metavar="OUT...")
@click.option("--out", type=folder, metavar="DIR", help="Where to; default: the first OUT.")
@data_option
@click.option("--quiet", is_flag=True, help="No progress bars, no summary.")
def merge_shards(
    shards: tuple[Path, ...], out: Path | None, data: Path | None, quiet: bool
) -> None:
    """Join the folders that `all --shard` made into the build that one machine makes alone.

    They must be of equal settings, versions and data, and hold every video; clips are linked where
    the file system can, else copied. --data: by default as the first folder has it.
    """
    from tinyvirat_build.builds import open_build
    from tinyvirat_build.pipeline.shards import merge

    outcome = merge(shards, out, data=data, quiet=quiet)
    target = out or shards[0]
    settings = open_build(target).settings
    status = _tell(target, outcome, STAGES[-1].name, settings, quiet=quiet)
    click.get_current_context().exit(status)


_figures_option = click.option(
    "--figures", is_flag=True, help="Only draw Figures 2 and 3, of a plan too that is not cut yet."
)


_upload_options = options(
    click.option(
        "--to", metavar="s3://BUCKET/PREFIX", default="",
        help="Then upload the release, and list it once all of it is there.",
    ),
    click.option("--pack", is_flag=True, help="Upload the training pack too."),
)  # fmt: skip
_OPTIONS: dict[str, Callable[[Any], Any]] = {"stats": _figures_option, "publish": _upload_options}


def _upload(out: Path, to: str, pack: bool, quiet: bool) -> int:
    from tinyvirat_build.ask.upload import upload_build
    from tinyvirat_build.builds import open_build

    done = upload_build(open_build(out), to, pack=pack, quiet=quiet, say=echo)
    return 1 if done.failed else 0


_EXAMPLES: Final = {
    "index": "--rehash",
    "parse": "--set parse.max_gap=60",
    "merge": "--set merge.threshold=0.5",
    "segment": "--set merge.unit=activity",
    "chunk": "--set chunk.length=32",
    "crop": "--set crop.max_side=96",
    "partition": "--set partition.group=camera",
    "filter": "--set filter.min_samples=20",
    "plan": "--set encode.codec=vp9-lossless",
    "cut": "--set encode.codec=ffv1",
    "publish": "--set publish.public=true",
    "stats": "--set report.previews=always",
}


class _StageCommand(click.Command):
    """A stage's help: its own settings, and the options of all stages in a line."""

    stage: Stage

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shared = [p for p in self.params if p.name in _SHARED]
        own = [p.get_help_record(ctx) for p in self.get_params(ctx) if p not in shared]
        with formatter.section("Options"):
            formatter.write_dl([record for record in own if record])
        with formatter.section("Options that all stages share; `tinyvirat-build all --help`"):
            formatter.write_text(", ".join(p.opts[0] for p in shared))
        with formatter.section("Settings that it reads, with their defaults"):
            rows = _settings_of(self.stage)
            formatter.write_dl(rows) if rows else formatter.write_text("none")
        with formatter.section("Example"):
            more = _EXAMPLES.get(self.stage.name, "")
            formatter.write_text(f"tinyvirat-build {self.stage.name} --out OUT {more}".strip())


_SHARED: Final = {
    "sources", "data", "videos", "preset", "config", "workers", "engine", "address", "timeout",
    "limit", "rehash", "quiet",
}  # fmt: skip


def _settings_of(stage: Stage) -> list[tuple[str, str]]:
    from tinyvirat_build.settings import Settings
    from tinyvirat_build.settings.described import described, told, under

    read = under(described(Settings), stage.settings)
    return [(f"{one.key}={_shown(one.default)}", told(one)) for one in read]


def _shown(default: object) -> str:
    return json.dumps(default) if isinstance(default, bool | None) else str(default)


def _stage_command(stage: Stage) -> click.Command:
    before = "" if stage == STAGES[0] else "\n\nReads the tables of the stages before it."
    text = f"{stage.help}{before}"

    @click.command(stage.name, cls=_StageCommand, help=text)
    @request_options
    @running_options
    def command(
        out: Path, figures: bool = False, to: str = "", pack: bool = False, **asked: Any
    ) -> None:
        if figures:
            from tinyvirat_build.builds import open_build

            for path in open_build(out).draw_figures():
                echo(f"wrote {path}")
            return
        if pack and not to:
            raise SettingsError("--pack says what is uploaded; give --to too")
        request = request_of(out, **asked)
        status = _run(request, first=stage.name, until=stage.name)
        if to:
            status = max(status, _upload(out, to, pack, request.quiet))
        click.get_current_context().exit(status)

    more = _OPTIONS.get(stage.name)
    decorated: _StageCommand = more(command) if more else command
    decorated.stage = stage
    return decorated


COMMANDS = [all_, merge_shards, *map(_stage_command, STAGES)]
