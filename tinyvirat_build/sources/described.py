"""The YAML file that describes a user's own corpus.

```yaml
name: crossing                  # the word in every table; default: the file's own name
annotations: annotations        # folder, searched at any depth; default: the data folder
videos: recordings              # folder; default: that of the annotations
format: kpf                     # or another one of docs/formats.md
dialect: exclusive              # actev-json only: nist, inclusive or exclusive
first_frame: 1                  # csv only: the number of the first frame, 0 or 1; default: 0
last: inclusive                 # csv only: whether an end belongs to its span; default: exclusive
labels:                         # annotated name: class, [classes], or [] for none;
  walks: activity_walking       # or the name of a label map, or a .csv file;
  waits: []
classes: auto                   # a list under annotations/labels, a .csv file, [names], or auto:
                                # every annotated name; default: auto where there are no labels
group: "cam(\\d+)_day(\\d+)"      # videos with equal matches never part; default: each for itself
#      {file: groups.csv, column: day}   a column of a table with the column `video`
regions:                        # pixels; where most of an activity's boxes stand decides
  - ignore: [[0, 0], [200, 0], [200, 90]]
  - only: [[0, 90], [768, 90], [768, 576], [0, 576]]
    videos: "cam1_.*"           # a regular expression; default: every video
width: 1920                     # assumed where a video is not present
height: 1080
fps: 30000/1001
attribution: who made it
license: its licence
```
Relative paths start at ``--data`` if it is given, otherwise at the YAML file's folder; a ``.csv``
file always beside the YAML file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

import shapely
import yaml

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.formats import READERS, Dialect
from tinyvirat_build.formats.safety import MAX_COORDINATE, safe_name
from tinyvirat_build.sources import BUILTIN, Region
from tinyvirat_build.sources.custom import Custom
from tinyvirat_build.store.userfiles import MAX_YAML, load_yaml, nearest, quoted, read_regular

T = TypeVar("T")

MAX_TABLE: Final = 64 << 20  # bytes of a table of groups
MAX_RATE: Final = 10_000  # frames a second
MAX_SIDE: Final = 1 << 16  # pixels of a picture

KEYS: Final = (
    "name", "annotations", "videos", "format", "dialect", "first_frame", "last", "labels",
    "classes", "group", "regions", "width", "height", "fps", "attribution", "license",
)  # fmt: skip

_RATE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,18}|/[0-9]{1,9})?")


def load(path: Path) -> Custom:
    """Read and check the YAML file of a corpus.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown or wrong; with file and key.
    """
    tree = _tree(path)
    for key in tree:
        if key not in KEYS:
            hint = nearest(key, KEYS)
            raise SettingsError(
                f"{path}: unknown key {quoted(key)}{hint}; the keys are {', '.join(KEYS)}"
            )
    name = _text(path, tree, "name", path.stem)
    if not safe_name(name) or name in BUILTIN:
        raise SettingsError(
            f"{path}: name: {quoted(name)} is taken or not safe in a path; choose another"
        )
    form = _choice(path, tree, "format", READERS)
    dialect = _choice(path, tree, "dialect", [d for d in get_args(Dialect) if d], "")
    if dialect and form != "actev-json":
        raise SettingsError(f"{path}: dialect: only actev-json has dialects; delete the key")
    for key in ("first_frame", "last"):
        if key in tree and form != "csv":
            raise SettingsError(f"{path}: {key}: only csv needs to be told; delete the key")
    mapping = _labels(path, tree.get("labels"))
    videos = _text(path, tree, "videos", "")
    source = Custom(
        file=path,
        name=name,
        format=form,
        annotations=Path(_text(path, tree, "annotations", ".")).expanduser(),
        videos=Path(videos).expanduser() if videos else None,
        dialect=cast(Dialect, dialect),
        classes=_classes(path, tree),
        first_frame=_choice(path, tree, "first_frame", (0, 1), 0),
        inclusive=_choice(path, tree, "last", ("inclusive", "exclusive"), "exclusive")
        == "inclusive",
        mapping=mapping,
        tables=(Path(mapping),) if isinstance(mapping, str) and mapping.endswith(".csv") else (),
        regions=tuple(_regions(path, tree.get("regions"))),
        width=_whole(path, tree, "width", 1920),
        height=_whole(path, tree, "height", 1080),
        fps=_rate(path, tree.get("fps", 30)),
        attribution=_text(path, tree, "attribution", ""),
        license_text=_text(path, tree, "license", ""),
    )
    return _grouped(source, tree.get("group"))


def _tree(path: Path) -> dict[Any, Any]:
    try:
        tree = load_yaml(read_regular(path, MAX_YAML))
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give a YAML file") from e
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(e, "problem", None) or "not YAML"
        raise SettingsError(f"{path}{line}: {problem}; mend the YAML") from e
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: a corpus is a mapping of keys; begin with `format: kpf`")
    return tree


def _text(path: Path, tree: Mapping[Any, Any], key: str, default: str) -> str:
    value = tree.get(key, default)
    if not isinstance(value, str) or "\0" in value:
        raise SettingsError(f"{path}: {key}: takes text, found {quoted(value)}")
    return value


def _choice(
    path: Path, tree: Mapping[Any, Any], key: str, known: Iterable[T], default: T | None = None
) -> T:
    value = tree.get(key, default)
    choices = list(known) + ([] if default is None else [default])
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    found = "nothing" if value is None else quoted(value)
    shown = dict.fromkeys(str(c) for c in choices if c != "")
    raise SettingsError(f"{path}: {key}: one of {', '.join(shown)}, found {found}")


def _whole(path: Path, tree: Mapping[Any, Any], key: str, default: int) -> int:
    value = tree.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SIDE:
        raise SettingsError(
            f"{path}: {key}: takes a whole number of pixels up to {MAX_SIDE}, found {quoted(value)}"
        )
    return value


def _rate(path: Path, value: object) -> str:
    text = str(value)
    try:  # a fraction of "1e999999999" would be computed digit by digit
        rate = Fraction(text) if _RATE.fullmatch(text) else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 0 < rate <= MAX_RATE:
        raise SettingsError(
            f"{path}: fps: takes a rate such as 30 or 30000/1001, found {quoted(value)}"
        )
    return str(rate)


def _classes(path: Path, tree: Mapping[Any, Any]) -> str | tuple[str, ...]:
    value = tree.get("classes", "" if "labels" in tree else "auto")
    if isinstance(value, list) and value and all(isinstance(v, str) and v for v in value):
        if len(set(value)) < len(value):
            raise SettingsError(f"{path}: classes: a name occurs twice; keep one of them")
        return tuple(value)
    if not isinstance(value, str):
        raise SettingsError(
            f"{path}: classes: takes auto, a list of names, or a class list, found {quoted(value)}"
        )
    return str(path.parent / value) if value.endswith((".csv", ".txt")) else value


def _labels(path: Path, value: object) -> tuple[tuple[str, tuple[str, ...]], ...] | str | None:
    if value is None:
        return None
    if isinstance(value, str):
        beside = path.parent / value
        return str(beside) if value.endswith(".csv") else value
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{path}: labels: takes name: class pairs or a map, found {quoted(value)}"
        )
    pairs = []
    for name, found in value.items():
        words = [found] if isinstance(found, str) else [] if found is None else found
        if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
            raise SettingsError(
                f"{path}: labels.{str(name)[:200]}: takes a class or a list of classes, "
                f"found {quoted(found)}"
            )
        pairs.append((str(name), tuple(words)))
    return tuple(pairs)


def _pattern(path: Path, key: str, value: object) -> re.Pattern[str]:
    try:
        return re.compile(value if isinstance(value, str) else str(value))
    except re.error as e:
        raise SettingsError(
            f"{path}: {key}: no regular expression ({e}); mend {quoted(value)}"
        ) from e


def _grouped(source: Custom, value: object) -> Custom:
    path = source.file
    if value is None or value == "video":
        return source
    if isinstance(value, str):
        return replace(source, grouping=_pattern(path, "group", value))
    if not isinstance(value, Mapping) or set(value) != {"file", "column"}:
        raise SettingsError(
            f"{path}: group: takes a regular expression or {{file: …, column: …}}, "
            f"found {quoted(value)}"
        )
    given = {f"group.{key}": found for key, found in value.items()}
    named = {key: _text(path, given, key, "") for key in given}
    table = path.parent / named["group.file"]
    groups = _groups(path, table, named["group.column"])
    return replace(source, groups=groups, tables=(*source.tables, table))


def _groups(path: Path, table: Path, column: str) -> dict[str, str]:
    """Video to group, of a table with the column ``video``."""
    groups: dict[str, str] = {}
    try:
        text = read_regular(table, MAX_TABLE).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = {"video", column} - set(reader.fieldnames or ())
        if missing:
            raise SettingsError(f"{table}:1: no column {min(missing)!r}; add it")
        for row in reader:
            video, group, where = row["video"], row[column], f"{table}:{reader.line_num}"
            if not video or group is None or not (video + group).isprintable():
                raise SettingsError(
                    f"{where}: takes a video and its group, found "
                    f"{quoted(video)}, {quoted(group)}; mend the line"
                )
            if video in groups:
                raise SettingsError(f"{where}: {quoted(video)} occurs twice; delete one")
            groups[video] = group
    except (OSError, ValueError, csv.Error) as e:
        raise SettingsError(f"{path}: group.file: cannot read {table}: {e}; give a CSV file") from e
    return groups


def _regions(path: Path, value: object) -> Iterable[tuple[re.Pattern[str], Region]]:
    items = [] if value is None else value
    if not isinstance(items, list):
        raise SettingsError(f"{path}: regions: takes a list, found {quoted(value)}")
    for i, item in enumerate(items):
        key = f"regions[{i}]"
        kinds = [k for k in ("ignore", "only") if isinstance(item, Mapping) and k in item]
        if len(kinds) != 1 or set(item) - {*kinds, "videos"}:
            raise SettingsError(
                f"{path}: {key}: takes `ignore` or `only` with points, and `videos`, "
                f"found {quoted(item)}"
            )
        points = _points(item[kinds[0]])
        if len(points) < 3 or not shapely.Polygon(points).is_valid:
            raise SettingsError(
                f"{path}: {key}.{kinds[0]}: takes three or more points [x, y] whose lines do not "
                "cross; mend the polygon"
            )
        which = _pattern(path, f"{key}.videos", item.get("videos", ".*"))
        yield which, Region("ignore" if kinds[0] == "ignore" else "only", points)


def _points(value: object) -> tuple[tuple[float, float], ...]:
    """Pairs of finite numbers; nothing if one of them is something else."""
    points = value if isinstance(value, list) else []
    if not all(
        isinstance(p, list)
        and len(p) == 2
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in p)
        and all(abs(x) <= MAX_COORDINATE for x in p)  # false for NaN
        for p in points
    ):
        return ()
    return tuple((float(x), float(y)) for x, y in points)
