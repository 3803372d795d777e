"""``fetch``: what a dataset needs of a corpus, from its public bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyvirat_build.cli.group import echo, settings_options, workers_option


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (value or "").split(","))))


@click.command(short_help="Bring annotations, and the videos that are needed, from where they lie.")
@click.option("--source", metavar="NAME", required=True, help="meva or virat.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="Folder into which they are brought, and in which what is here is found.",
)  # fmt: skip
@settings_options
@click.option(
    "--limit", type=click.IntRange(1), metavar="N",
    help="What `all --limit N` needs: of the first N videos that give clips.",
)  # fmt: skip
@click.option(
    "--dates", callback=_names, metavar="DATE,…", help="Only of these days, e.g. 2018-03-07."
)
@click.option("--cameras", callback=_names, metavar="NAME,…", help="Only of these, e.g. G331.")
@click.option(
    "--budget", type=click.IntRange(0), metavar="BYTES",
    help="Receive no more than that, tries that fail included.",
)  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say how many bytes would come; only annotations, which tell that, are fetched.",
)
@click.option("--bucket", default="", metavar="URL", help="A mirror of the corpus's bucket.")
@click.option(
    "--annotations", default="", metavar="URL|FILE",
    help="A mirror or copy of the archive of annotations (.tar.gz, .zip); unpacked anew.",
)  # fmt: skip
@click.option(
    "--transfers", type=click.IntRange(1, 64), default=4, metavar="N", show_default=True,
    help="Files that are fetched at once.",
)  # fmt: skip
@workers_option
@click.option("--quiet", is_flag=True, help="No progress bars.")
def fetch(
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    workers: int | None,
    **asked: Any,
) -> None:
    """Bring a corpus here: its annotations first, then only the videos that have clips.

    What is here is checked and not fetched again, and what was cut off goes on. No account is
    needed. Exit status 1 where something that is needed is not here in the end.
    """
    from tinyvirat_build import engine
    from tinyvirat_build.ask.fetch import Asked, fetch_corpus
    from tinyvirat_build.settings import Settings

    settings = Settings.load(preset, config, overrides)
    report = fetch_corpus(
        Asked(settings=settings, workers=workers or engine.default_workers(), **asked), echo
    )
    click.get_current_context().exit(report.status)


COMMANDS = [fetch]
