"""``config``: the settings as they resolve, the presets, and what a setting means."""

from __future__ import annotations

import functools
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tinyvirat_build.cli.group import echo, json_option, settings_options
from tinyvirat_build.errors import SettingsError


@click.command()
@click.argument("key", default="", metavar="[KEY]")
@settings_options
@click.option("--presets", "list_presets", is_flag=True, help="List the shipped presets.")
@click.option("--train", is_flag=True, help="The settings of `train` instead of those of a build.")
@json_option
def config(
    key: str,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    list_presets: bool,
    train: bool,
    as_json: bool,
) -> None:
    """Print the resolved settings as YAML, to copy and change.

    With KEY, a setting such as crop.max_side or a group such as crop, say what it means.
    """
    if list_presets:
        return _presets(train, as_json)
    settings = _load_train(preset, config, overrides) if train else _load(preset, config, overrides)
    if key:
        return _explain(key, settings, as_json)
    echo(json.dumps(settings.to_dict(), indent=1) if as_json else settings.to_yaml().rstrip())


def _load(preset: str | None, file: Path | None, overrides: tuple[str, ...]) -> Any:
    from tinyvirat_build.settings import Settings

    return Settings.load(preset, file, overrides)


def _load_train(preset: str | None, file: Path | None, overrides: tuple[str, ...]) -> Any:
    from tinyvirat_build.train import settings

    if preset and file:
        raise SettingsError("--train takes a --preset or a --config, not both")
    return settings.load(file or preset or "paper", overrides)


def _presets(train: bool, as_json: bool) -> None:
    if train:
        from tinyvirat_build.train.settings import preset_lines
    else:
        from tinyvirat_build.settings import preset_lines

    lines = preset_lines()
    width = max(len(name) for name, _ in lines) + 2
    shown = "\n".join(f"{name:<{width}}{what}" for name, what in lines)
    echo(json.dumps(dict(lines), indent=1) if as_json else shown)


def _explain(key: str, settings: Any, as_json: bool) -> None:
    from tinyvirat_build.settings.described import explained

    found = explained(type(settings), key)
    tree = settings.to_dict()
    rows = []
    for one in found:
        value = functools.reduce(lambda t, part: t[part], one.key.split("."), tree)
        rows.append(
            {
                "key": one.key, "default": one.default, "value": value,
                "choices": list(one.choices), "about": one.about, "group": one.group,
                "stages": [] if "train" in type(settings).__module__ else _stages(one.key),
            }
        )  # fmt: skip
    if as_json:
        return echo(json.dumps(rows, indent=1))
    echo("\n".join(line for row in rows for line in _told(row)))
    stages = list(dict.fromkeys(s for row in rows for s in row["stages"]))
    echo("")
    echo(f"{found[0].group} ".strip())
    from tinyvirat_build.settings import Settings
    from tinyvirat_build.settings.idle import idle

    if isinstance(settings, Settings) and (why := idle(settings).get(key)):
        echo(f"It has no effect here: {why}.")
    if stages:
        echo(f"Read by the stage{'s' * (len(stages) > 1)} {', '.join(stages)}.")


def _stages(key: str) -> list[str]:
    """The stages whose results depend on a setting."""
    from tinyvirat_build.pipeline.stages import STAGES

    return [s.name for s in STAGES if any(key == n or key.startswith(f"{n}.") for n in s.settings)]


def _told(row: dict[str, Any]) -> Iterator[str]:
    default, value = (json.dumps(row[name]) for name in ("default", "value"))
    yield f"{row['key']}={value}" + (f"  (default {default})" if default != value else "")
    choices = f"one of {', '.join(row['choices'])}" if row["choices"] else ""
    text = "; ".join(p for p in (choices, row["about"]) if p)
    yield from textwrap.wrap(text, 96, initial_indent="    ", subsequent_indent="    ")


COMMANDS = [config]
