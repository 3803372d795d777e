"""Write docs/reference.md from the code: commands, settings, tables, reasons, library.

Run it with ``make docs``; a test fails while the committed file differs.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import click
import pyarrow as pa

import tinyvirat_build as tvb
from tinyvirat_build import settings as schema
from tinyvirat_build.cli import main as cli
from tinyvirat_build.pipeline import stages
from tinyvirat_build.records import ACTIONS, KEYS, REASONS, SCHEMAS
from tinyvirat_build.settings import described
from tinyvirat_build.train import models
from tinyvirat_build.train import settings as train

REFERENCE = Path(__file__).with_name("reference.md")


def commands() -> str:
    """Every command's help, as the program prints it."""
    parts = ["## Commands", "", _block(_help(cli, "tinyvirat-build"))]
    for name, command in cli.commands.items():
        parts += ["", f"### {name}", "", _block(_help(command, f"tinyvirat-build {name}"))]
    return "\n".join(parts)


def _help(command: click.Command, path: str) -> str:
    names = cli.context_settings["help_option_names"]
    context = click.Context(
        command, info_name=path, terminal_width=96, max_content_width=96, help_option_names=names
    )
    return command.get_help(context)


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def table_of_stages() -> str:
    """Every stage in its order: what it works on, reads and writes, and of which settings."""
    rows = [
        f"| {s.name} | {s.scope} | {_words(s.reads_of())} | {_words(s.writes)} | "
        f"{_words(s.settings)} | {s.help} |"
        for s in stages.STAGES
    ]
    about = (
        "In the order of a run. A stage is done anew where one of the settings that it reads, or "
        "what it reads, has changed."
    )
    head = ["| stage | works on | reads | writes | settings | |", "|---|---|---|---|---|---|"]
    return "\n".join(["## Stages", "", about, "", *head, *rows])


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def settings() -> str:
    """Every setting with its default and what its comment says."""
    head = ["## Settings", "", _presets(schema.presets()), ""]
    return "\n".join([*head, *_HEAD, *_rows(schema.Settings, "")])


def train_settings() -> str:
    """Every setting of training, and the models."""
    known = ", ".join(f"`{name}`" for name in models.NAMES)
    return "\n".join(
        [
            "## Settings of training",
            "",
            f"{_presets(train.presets())} Print one with `tinyvirat-build config --train`.",
            "",
            f"Models: {known}.",
            "",
            *_HEAD,
            *_rows(train.TrainSettings, ""),
        ]
    )


_HEAD = ["| setting | default | |", "|---|---|---|"]


def _presets(names: list[str]) -> str:
    return f"Presets: {', '.join(f'`{p}`' for p in names)}."


def library() -> str:
    """Every public name with its signature and docstring."""
    parts = ["## Library", "", "```python", "import tinyvirat_build as tvb", "```"]
    for name in tvb.__all__:
        thing = getattr(tvb, name)
        parts += ["", f"### tvb.{name}", "", _block(_documented(thing, f"tvb.{name}"))]
        for method, member in inspect.getmembers(thing) if inspect.isclass(thing) else ():
            own = method in vars(thing) and not method.startswith("_")
            if own and (callable(member) or isinstance(member, property | cached_property)):
                parts += ["", _block(_documented(member, f"{name}.{method}"))]
    return "\n".join(parts)


def _documented(thing: object, name: str) -> str:
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    called = callable(thing) and not (inspect.isclass(thing) and issubclass(thing, Exception))
    head = f"{name}{_signature(thing)}" if called else name
    return f"{head}\n\n{textwrap.indent(text, '    ')}"


def _signature(thing: Callable[..., object]) -> str:
    """The parameters, one a line where they are many; without types, which the text explains."""
    shown = []
    keyword_only = False
    for p in inspect.signature(thing).parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not keyword_only:
            shown.append("*")
            keyword_only = True
        given = p.default is not p.empty
        shown.append(f"{p.name}={_value(p.default)}" if given else p.name)
    return textwrap.fill(f"({', '.join(shown)})", 88, subsequent_indent="    ")


def _value(value: object) -> str:
    text = repr(value)
    return "…" if text.startswith("<") or len(text) > 40 else text


def _rows(kind: type, prefix: str) -> list[str]:
    return [
        f"| `{s.key}` | `{s.default}` | {_about(s)} |" for s in described.described(kind, prefix)
    ]


def _about(setting: described.Described) -> str:
    choices = " \\| ".join(f"`{c}`" for c in setting.choices)
    about = setting.about.replace("|", "\\|")
    return "; ".join(p for p in (choices, about) if p)


def tables() -> str:
    """Every table's columns."""
    parts = [
        "## Tables",
        "",
        f"Parquet files in `OUT/tables`. Each begins with `{', '.join(KEYS)}`; rows lie in that "
        "order. Frames are 0-based and half-open, boxes half-open pixels.",
        "",
        "| table | columns beyond the keys |",
        "|---|---|",
    ]
    for name, columns_of in SCHEMAS.items():
        columns = ", ".join(f"`{f.name}` {_type(f.type)}" for f in columns_of if f.name not in KEYS)
        parts.append(f"| {name} | {columns} |")
    return "\n".join(parts)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    return "string" if pa.types.is_dictionary(kind) else str(kind)


def reasons() -> str:
    """Every reason that a row of ``issues`` can give."""
    rows = [f"| `{name}` | {text} |" for name, text in REASONS.items()]
    actions = ", ".join(f"`{a}`" for a in ACTIONS)
    head = ["## Reasons in `issues`", "", f"Actions: {actions}.", "", "| reason | |", "|---|---|"]
    return "\n".join([*head, *rows])


FOLDER = """## Build folder

```text
OUT/build.yaml          resolved settings and versions
OUT/tables/*.parquet    one a table, with their checksums in SHA256SUMS, which verify compares
OUT/units/              the per-video parts behind them, under their keys
OUT/clips/              every clip under its clip_id, and the raw frames that the pack links to
OUT/TinyVIRAT_V2/       the dataset in the released layout: the only folder to give away; with its
                        card (README.md), croissant.json, LICENSE, ATTRIBUTION and SHA256SUMS
OUT/exports/            what `export` wrote; with --public for giving away too
OUT/truth/test.json     the test labels, in rows of the train format
OUT/pack/               the training pack
OUT/stats/              table1.md, table1.csv, stats.json, figures
OUT/report.html         all of it to look at, with the gallery of clips
OUT/report/             what the page reads: its program, style, data, previews and stills
OUT/log/                timings and what this machine remembers; no part of what a build is
```

Two builds are equal, byte for byte, if sources, settings and versions are, wherever the data lie
and whatever was built, killed or changed on the way. `log/` is no part of it, nor is the key at
the end of each file in `units/index`: it holds the video's size and time of change, by which a
build knows that it need not read the video again. The rest of these files is equal too."""


def reference() -> str:
    """The whole page."""
    head = "# Reference\n\nWritten by `make docs` from the code."
    return (
        "\n\n".join(
            [
                head,
                commands(),
                table_of_stages(),
                settings(),
                tables(),
                reasons(),
                FOLDER,
                train_settings(),
                library(),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
