"""The group of all commands, and the options that several of them share."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tinyvirat_build import __version__
from tinyvirat_build.cli import interrupts
from tinyvirat_build.errors import SettingsError, TinyviratError

if TYPE_CHECKING:
    from tinyvirat_build.pipeline.request import Request

Command = Callable[..., Any]


def echo(text: str, *, err: bool = False, nl: bool = True, fg: str | None = None) -> None:
    """Print a text, in which strangers may have had a say: every command prints through this."""
    from tinyvirat_build.store.texts import printable

    click.secho(printable(text), err=err, nl=nl, fg=fg)


class _UsageError(click.UsageError):
    """A wrong call, told in one line as every other error."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Say what was wrong and where the right call is told."""
        said = " ".join(self.format_message().split()).rstrip(".")
        path = self.ctx.command_path if self.ctx else "tinyvirat-build"
        said = re.sub(r"\.? \(?Did you mean ([^?]*)\?\)?$", r" (did you mean \1?)", said)
        text = f"error: {said[:1].lower()}{said[1:]}; see `{path} --help`"
        echo(text, fg="red", err=True)


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as e:
        raise _UsageError(e.format_message(), e.ctx) from e


class _Group(click.Group):
    """Commands in the order of their use, and errors in one line."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> Any:
        if args is None:  # the process is the command's alone
            interrupts.answer()
        return super().main(args, *more, **named)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _usage_in_one_line():
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(1)
        except KeyboardInterrupt:
            interrupts.end()
            ctx.exit(interrupts.STATUS)
        except Exception as e:
            if ctx.params.get("debug"):
                raise
            # Some libraries' texts have several lines; what a user reads is one.
            echo(f"error: {' '.join(_told(e).split())}", fg="red", err=True)
            ctx.exit(2)


def _told(e: Exception) -> str:
    """What went wrong and what to do about it."""
    from tinyvirat_build.store.means import lacking

    if isinstance(e, TinyviratError):
        return str(e)
    if (found := lacking(e)) is not None:
        return str(found)
    if isinstance(e, OSError):
        where = f"{e.filename}: " if e.filename else ""
        return f"{where}{e.strerror or e}; see that the folder can be read and written"
    if isinstance(e, ModuleNotFoundError):
        return f"{e.name} is not installed; pip install '.[train]' in the clone brings it"
    what = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
    return f"internal error: {what}; run with --debug and report it"


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

    `all` runs the stages from index to stats; each is a command too, to run again alone.
    """


def options(*several: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order given."""

    def add(command: Command) -> Command:
        return functools.reduce(lambda c, option: option(c), reversed(several), command)

    return add


def request_of(
    out: Path, sources: tuple[str, ...], data: Path | None, preset: str | None,
    config: Path | None, overrides: Sequence[str], *, limit: int | None = None,
    videos: str = "", anew: bool = False, **running: Any,
) -> Request:  # fmt: skip
    """What is asked for; what is not said is as the build in ``out`` has it, but not ``anew``.

    Raises:
        SettingsError: no source is asked for, and there is no build.
    """
    from tinyvirat_build.pipeline.opened import OpenedBuild
    from tinyvirat_build.pipeline.request import Request
    from tinyvirat_build.settings import Settings

    build = None if anew or not (out / "build.yaml").exists() else OpenedBuild.open(out)
    if build:
        sources, data = sources or build.sources, data or build.data
        limit, videos = limit or build.limit, videos or build.videos
    elif not sources:
        raise SettingsError(f"{out} holds no build yet: give --source and --data")
    if build and not (preset or config):
        settings = build.settings.override(overrides)
    else:
        settings = Settings.load(preset, config, overrides)
    return Request(sources, data, out, settings, limit=limit, videos=videos, **running)


class _Folder(click.Path):
    """A folder; an empty text, as of a shell variable that is not set, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty; give a folder, or . for this one", param, ctx)
        return super().convert(value, param, ctx)


def _shard(text: str) -> tuple[int, int]:
    """One part of so many: ``i/n``, from 0 on."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found:
        raise click.BadParameter(f"{text!r} is no shard; give one of so many, e.g. 0/4 to 3/4")
    return int(found[1]), int(found[2])


folder = _Folder(path_type=Path)
source_option = click.option(
    "--source", "sources", multiple=True, metavar="NAME|FILE.yaml",
    help="meva, virat, demo, or the YAML file of your own corpus; may repeat.",
)  # fmt: skip
data_option = click.option(
    "--data", type=folder, metavar="DIR",
    help="Folder in which annotations and videos are found, at any depth.",
)  # fmt: skip
videos_option = click.option(
    "--videos", default="", metavar="URL",
    help="Where the videos lie that are not below --data: s3://, https://, file:// or a folder.",
)  # fmt: skip
out_option = click.option(
    "--out", type=folder, metavar="DIR", required=True, help="The build folder."
)
settings_options = options(
    click.option("--preset", metavar="NAME", help="A shipped preset; see `config --presets`."),
    click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="A YAML file of settings."
    ),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE",
        help="One setting, e.g. merge.threshold=0.5; may repeat.",
    ),
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
workers_option = click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Processes; default: all processors."
)
shard_option = click.option(
    "--shard", type=_shard, metavar="I/N",
    help="Plan everything, cut the videos I of every N (from 0 on); then merge-shards.",
)  # fmt: skip
request_options = options(source_option, data_option, videos_option, out_option, settings_options)
running_options = options(
    workers_option,
    click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local",
        help="Work on this machine, or on those of an existing Ray cluster.  [default: local]",
    ),
    click.option(
        "--address", metavar="ADDRESS",
        help="Where the Ray cluster is; default: the one that runs on this machine.",
    ),
    click.option(
        "--timeout", type=click.FloatRange(min=1), default=1800.0, metavar="SECONDS",
        help="Time limit of one video's task.  [default: 1800]",
    ),
    click.option(
        "--limit", type=click.IntRange(1), metavar="N",
        help="A trial: plan and cut only the first N videos that give clips, with the splits of "
        "the whole and no filter.",
    ),
    click.option("--rehash", is_flag=True, help="Read every input again, trust no time stamp."),
    click.option("--quiet", is_flag=True, help="No progress bars, no summary."),
)  # fmt: skip
