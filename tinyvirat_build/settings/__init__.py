"""Settings: frozen dataclasses, presets, YAML in and out.

A preset is a YAML file under ``annotations/presets``; it names only what differs from the
defaults here. ``Settings`` resolves, in this order: defaults, preset, the user's file, ``--set``.

>>> settings = Settings.load(overrides=["merge.threshold=0.5", "crop.sides=[56, 112]"])
>>> settings.merge.threshold, settings.crop.sides
(0.5, (56, 112))
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.settings.described import presets_told
from tinyvirat_build.settings.tree import (
    build,
    overlay,
    parse_override,
    plain,
    read_yaml,
    update,
)
from tinyvirat_build.store.userfiles import nearest, quoted

Grouping = Literal["auto", "slot", "session", "video", "scene", "camera", "time"]

BY_SOURCE: Final = frozenset({"parse", "merge", "chunk", "crop"})
"""The settings that a source may have for itself: those of the stages that see one video."""

CLASSES: Final = "tinyvirat-26"
"""The classes where nothing else is said: a corpus of one's own may say it."""


def annotations_dir() -> Path:
    """The folder of class lists, label maps, presets and split lists shipped with the package."""
    return Path(__file__).parent.parent / "annotations"  # in a checkout a link to the top level's


@dataclass(frozen=True, slots=True)
class Parse:
    """How annotation files become boxes."""

    max_gap: int = 30  # longest gap between boxes (frames) that is interpolated
    clip_boxes: bool = True  # clip boxes to the picture; the released MEVA rule does not
    drop_status: tuple[str, ...] = ("not_good",)  # src_status values that are left out
    last: Literal["format", "off_frame"] = "format"  # off_frame: UMD-v1's JSON ends with that frame


@dataclass(frozen=True, slots=True)
class Meva:
    """Which annotation sets of MEVA are read."""

    sets: tuple[str, ...] = ("kitware", "kitware-meva-training")  # by priority
    unite: Literal["priority", "union"] = "priority"


@dataclass(frozen=True, slots=True)
class Virat:
    """Which annotations of VIRAT are read."""

    prefer: tuple[str, ...] = ("kpf", "text", "json")  # per video the first that is there
    same_boxes: Literal["ignore", "join"] = "ignore"  # join: actors with equal boxes are one


@dataclass(frozen=True, slots=True)
class Demo:
    """The small world that the project renders itself."""

    seed: int = 0
    scale: float = 1.0  # 0.1 renders about a tenth


@dataclass(frozen=True, slots=True)
class Merge:
    """Which activities belong together (docs/semantics.md, "Merge")."""

    unit: Literal["component", "activity"] = "component"
    touch: Literal["overlap_or_actor", "actor"] = "overlap_or_actor"  # what brings them together
    measure: Literal["iomin", "iou"] = "iomin"
    threshold: float = 0.3
    bridge: int = 8  # frames
    unmapped: Literal["exclude", "include"] = "exclude"  # activities without a label of their own


@dataclass(frozen=True, slots=True)
class Chunk:
    """How long segments are cut (docs/semantics.md, "Chunk")."""

    length: int = 64  # frames
    lengths: tuple[int, ...] = ()  # [min, max]: uniform, seeded per segment; replaces length
    remainder: Literal["balance", "keep", "drop", "merge", "whole"] = "balance"
    overlap: int = 0  # frames that consecutive chunks share
    min_frames: int = 16
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Crop:
    """The window in space (docs/semantics.md, "Crop")."""

    mode: Literal["follow", "static"] = "follow"
    shape: Literal["square", "box"] = "square"
    scope: Literal["chunk", "segment"] = "chunk"
    margin: int = 0  # pixels, per side
    smooth: int = 9  # frames
    min_side: int = 10
    max_side: int = 128  # pixels; a clip that needs a larger window is left out
    sides: tuple[int, ...] = ()  # snap up to these; larger windows keep their own side
    snap: Literal["at_least", "above"] = "at_least"  # above: a side equal to a step takes the next
    avoid_widths: tuple[int, ...] = ()  # such a window grows to the next even width
    enlarge: float = 1.0  # factor on what the window has to hold, where that is small
    enlarge_under: int = 100  # pixels; larger ones are not enlarged
    grid: Literal["even", "floor", "truncate"] = "even"  # floor, truncate: as VIRAT, MEVA released
    labels: Literal["own", "window", "split"] = "split"  # split: cut where those seen change
    seen: float = 0.5  # share of a box inside the window that counts as seen (labels: split)
    names: str = ""  # list of annotated and released names, for released_id


@dataclass(frozen=True, slots=True)
class Partition:
    """Which split a group belongs to (docs/semantics.md, "Partition")."""

    targets: tuple[float, ...] = (0.64, 0.13, 0.23)  # train, val, test
    group: Grouping = "auto"  # slot (MEVA), session (VIRAT): what auto takes
    gap: float = 2.0  # seconds left out between two splits of a video; group time only
    lists: dict[str, str] = field(default_factory=dict)  # source -> list name or file
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """Rare classes (docs/semantics.md, "Filter")."""

    min_samples: int = 10  # training clips


@dataclass(frozen=True, slots=True)
class Videos:
    """What is asked of the source videos."""

    missing: Literal["error", "skip"] = "error"
    max_held: float = 0.1  # share of a clip's frames


@dataclass(frozen=True, slots=True)
class Encode:
    """How clips are written."""

    codec: Literal["h264", "h264-crf", "vp9-lossless", "mpeg4", "ffv1"] = "h264"
    quality: int = 18  # crf of h264-crf, qscale of mpeg4; the other codecs are lossless
    pack: bool = True  # write the training pack in the same pass


@dataclass(frozen=True, slots=True)
class Quality:
    """Bounds on what cutting measured of a clip; one beyond them is not published."""

    min_motion: float | None = None  # mean absolute difference in luma between frames, in the boxes
    min_brightness: float | None = None  # mean luma, 0 to 255
    max_brightness: float | None = None
    min_contrast: float | None = None  # standard deviation of luma
    min_blur: float | None = None  # variance of the Laplacian: the less, the more blurred
    max_frozen: float | None = None  # share of frames that equal the one before
    infrared: Literal["keep", "drop"] = "keep"  # clips without colour


@dataclass(frozen=True, slots=True)
class Publish:
    """How the released layout is written."""

    public: bool = False  # leave the test labels out of the pack
    seed: int = 0  # shuffles the numbers of the test clips
    date: str = "2026-01-01"  # datePublished in croissant.json; never the clock's
    quality: Quality = Quality()


@dataclass(frozen=True, slots=True)
class Reporting:
    """How the report is written."""

    previews: Literal["auto", "always", "none"] = "auto"  # auto: in packs, if browsers do not play


@dataclass(frozen=True, slots=True)
class Expected:
    """What a preset plans of a known input; the closing summary tells a build that differs."""

    input: str  # source/annotation set
    videos: int
    activities: int  # records that parse reads
    clips: int  # rows of clips_planned
    without_boxes: int = 0  # of the activities, for want of their geometry
    published: int = 0  # rows of the released set, which was made of all the geometry


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a build; each stage reads only its own part."""

    preset: str = "default"
    classes: str | tuple[str, ...] = CLASSES  # a list under annotations/labels, a file, or names
    labels: dict[str, str] = field(default_factory=dict)  # namespace -> label map, over defaults
    parse: Parse = Parse()
    meva: Meva = Meva()
    virat: Virat = Virat()
    demo: Demo = Demo()
    merge: Merge = Merge()
    chunk: Chunk = Chunk()
    crop: Crop = Crop()
    partition: Partition = Partition()
    filter: Filter = Filter()
    videos: Videos = Videos()
    encode: Encode = Encode()
    publish: Publish = Publish()
    report: Reporting = Reporting()
    by_source: dict[str, Any] = field(default_factory=dict)  # source -> its own planning settings
    expected: tuple[Expected, ...] = ()  # what the preset plans of known inputs; changes nothing

    @classmethod
    def load(
        cls,
        preset: str | None = None,
        file: Path | None = None,
        overrides: Sequence[str] = (),
    ) -> Settings:
        """Resolve settings from a preset, a YAML file and ``key=value`` overrides, in this order.

        What is said later holds for every source, also where something earlier had a value of
        its own for one of them in ``by_source``.

        >>> Settings.load("tinyvirat-v2", overrides=["chunk.length=32"]).of("virat").chunk.length
        32

        Raises:
            SettingsError: an unknown key or preset, or a value of the wrong type.
        """
        own = read_yaml(file) if file else {}
        chosen = preset or own.get("preset") or _preset_in(overrides) or "default"
        if not isinstance(chosen, str):
            raise SettingsError(f"{file}: preset is a name, found {quoted(chosen)}")
        tree: dict[str, Any] = {}
        update(tree, read_yaml(preset_file(chosen)))
        overlay(tree, own)
        tree["preset"] = chosen
        for override in overrides:
            overlay(tree, parse_override(override))
        return cls.from_dict(tree)

    def of(self, source: str) -> Settings:
        """The settings of one source: these, under those that ``by_source`` has for it alone.

        >>> v2 = Settings.load(preset="tinyvirat-v2")
        >>> v2.of("meva").merge.unit, v2.of("virat").merge.unit
        ('activity', 'component')

        Raises:
            SettingsError: an unknown key, a value of the wrong type, or a setting that is not
                about one video.
        """
        tree = self.to_dict()
        own = tree.pop("by_source").get(source)
        if not own:
            return self
        if not isinstance(own, dict) or not own.keys() <= BY_SOURCE:
            raise SettingsError(
                f"setting by_source.{source} is a mapping with {', '.join(sorted(BY_SOURCE))}; "
                f"found {own!r}"
            )
        update(tree, own)
        return self.from_dict(tree)

    def override(self, overrides: Sequence[str]) -> Settings:
        """These settings with ``key=value`` overrides.

        Raises:
            SettingsError: an unknown key, or a value of the wrong type.
        """
        tree = self.to_dict()
        for text in overrides:
            overlay(tree, parse_override(text))
        return self.from_dict(tree)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Settings:
        """The inverse of :meth:`to_dict`."""
        settings = build(cls, tree)
        _check(settings)
        return settings

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts and lists, every setting spelled out."""
        tree = plain(dataclasses.asdict(self))
        assert isinstance(tree, dict)
        return tree

    def to_yaml(self) -> str:
        """As YAML that :meth:`load` reads back."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def presets() -> list[str]:
    """The names of the shipped presets."""
    return sorted(p.stem for p in (annotations_dir() / "presets").glob("*.yaml"))


def preset_lines() -> list[tuple[str, str]]:
    """The shipped presets, each with what it is in one line."""
    return presets_told([*(annotations_dir() / "presets").glob("*.yaml")])


def preset_file(name: str) -> Path:
    """The file of a preset, or the file itself where a path is given."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in presets():
        raise SettingsError(
            f"no preset {quoted(name)}{nearest(name, presets())}; presets: {', '.join(presets())}"
        )
    return annotations_dir() / "presets" / f"{name}.yaml"


def _preset_in(overrides: Sequence[str]) -> str | None:
    for override in overrides:
        key, _, value = override.partition("=")
        if key.strip() == "preset":
            return value.strip()
    return None


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check(s: Settings) -> None:
    chunk, crop, shares, drawn = s.chunk, s.crop, s.partition.targets, s.chunk.lengths
    even, least = crop.grid != "truncate", min(drawn) if drawn else chunk.length
    most = max(drawn) if drawn else chunk.length
    rules = {
        "merge.threshold is in (0, 1]": 0 < s.merge.threshold <= 1,
        "merge.bridge is 0 or more frames": s.merge.bridge >= 0,
        "demo.seed is 0 or more": s.demo.seed >= 0,
        "demo.scale is more than 0, up to 1000": 0 < s.demo.scale <= 1000,
        "parse.max_gap is 0 or more frames": s.parse.max_gap >= 0,
        "chunk.length is 1 or more frames": chunk.length >= 1,
        "chunk.min_frames is 1 or more": chunk.min_frames >= 1,
        f"chunk.min_frames ({chunk.min_frames}) is up to the length of a chunk ({most})": (
            chunk.min_frames <= most or chunk.remainder in ("merge", "whole")
        ),
        "chunk.lengths is [min, max]": not drawn or (len(drawn) == 2 and 1 <= drawn[0] <= drawn[1]),
        "chunk.overlap is 0 or more frames, fewer than a chunk has": 0 <= chunk.overlap < least,
        "crop.seen is a share in (0, 1]": 0 < crop.seen <= 1,
        "crop.enlarge is a factor from 1 to 10": 1 <= crop.enlarge <= 10,
        "crop.enlarge_under is 0 or more pixels": crop.enlarge_under >= 0,
        "crop.margin is 0 or more pixels": crop.margin >= 0,
        "crop.smooth is 1 or more frames": crop.smooth >= 1,
        "crop.sides are 2 or more pixels": all(side >= 2 for side in crop.sides),
        "crop.avoid_widths are 2 or more pixels": all(width >= 2 for width in crop.avoid_widths),
        "crop.avoid_widths does not go with crop.grid truncate": even or not crop.avoid_widths,
        "crop.grid truncate goes with crop.mode static": even or crop.mode == "static",
        "crop.max_side is 2 or more pixels": crop.max_side >= 2,
        "crop.min_side is 2 or more pixels": crop.min_side >= 2,
        f"crop.min_side ({crop.min_side}) is up to crop.max_side ({crop.max_side})": crop.min_side
        <= crop.max_side,
        "crop.min_side, made even, is up to crop.max_side": not even
        or crop.min_side + crop.min_side % 2 <= crop.max_side,
        "partition.targets are three shares that sum to 1": len(shares) == 3
        and all(t >= 0 for t in shares)
        and abs(sum(shares) - 1) < 1e-6,
        "partition.gap is 0 or more seconds": 0 <= s.partition.gap < math.inf,
        "filter.min_samples is 0 or more": s.filter.min_samples >= 0,
        "encode.quality is from 0 (best) to 51": 0 <= s.encode.quality <= 51,
        "publish.date is a day such as 2026-01-31": _is_day(s.publish.date),
        "videos.max_held is a share from 0 to 1": 0 <= s.videos.max_held <= 1,
        "publish.quality has finite bounds": all(
            not isinstance(b, float) or math.isfinite(b) for b in asdict(s.publish.quality).values()
        ),
    }
    for rule, holds in rules.items():
        if not holds:
            raise SettingsError(f"setting out of range: {rule}")
    for source in s.by_source:
        s.of(source)
