"""MEVA: five-minute clips of many cameras, annotated in several sets by several teams.

A set is recognised by the name of its folder anywhere in the path, a file by its own name
(``2018-03-07.16-50-01.16-55-01.bus.G331.activities.yml``), so that a clone of the annotation
repository beside the tree of videos is found as it is. Where no folder is one of a known set, the
set is that above the days and hours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tinyvirat_build import labels
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.formats import Dialect
from tinyvirat_build.formats.safety import shown
from tinyvirat_build.formats.videos import SUFFIX
from tinyvirat_build.records import Issue
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery, Entry, Home, Part
from tinyvirat_build.sources.files import (
    Camera,
    Found,
    cameras,
    one_actor,
    other,
    parts_of,
    repeated,
    walk,
)
from tinyvirat_build.store.userfiles import nearest, read_regular


@dataclass(frozen=True, slots=True)
class AnnotationSet:
    """How a set is written: its formats in order of preference, and the dialect of its JSON."""

    formats: tuple[str, ...]
    dialect: Dialect = ""


_KPF: Final = AnnotationSet(("kpf",))
# The teams' KPF holds the boxes of one actor a clip only; their JSON holds all of them.
_INCLUSIVE: Final = AnnotationSet(("actev-json", "kpf"), "inclusive")
_EXCLUSIVE: Final = AnnotationSet(("actev-json", "kpf"), "exclusive")

SETS: Final[Mapping[str, AnnotationSet]] = {
    "kitware": _KPF,
    "kitware-meva-training": _KPF,
    "history-2019-12": _KPF,
    "CMU-v2": _INCLUSIVE,
    "UMD-IBM": _INCLUSIVE,
    "IBM-person-person": _INCLUSIVE,
    "IBM-person-vehicle": _INCLUSIVE,
    "UMD-v1": _EXCLUSIVE,
    "UMD-v1-train": _EXCLUSIVE,
    "UMD-v1-val": _EXCLUSIVE,
    "UMD-v1-test": _EXCLUSIVE,
    "JHU-AIEM": AnnotationSet(("cuboids",)),
    "nist-kf1-json": AnnotationSet(("actev-json",), "nist"),
}
"""The known sets by the name of their folder."""

# What a set that is not known is read as: as what its files are, JSON before KPF as above.
_UNKNOWN: Final = AnnotationSet(("actev-json", "kpf", "cuboids"))
_DATED = re.compile(r"\d{4}-\d\d-\d\d|\d\d")  # folders inside a set: a day, an hour

MAX_TABLE: Final = 64 << 20  # bytes; the real one has half a megabyte
CLIP_TABLE: Final = "meva-clip-camera-and-time-table.txt"

_CLIP = r"\d{4}-\d\d-\d\d\.\d\d-\d\d-\d\d\.\d\d-\d\d-\d\d\.[a-z]+\.G\d{3}"
_FILE = re.compile(
    rf"(?P<clip>{_CLIP})(?:"
    r"(?P<kpf>[.-](?:activities|geom|types|regions)\.ya?ml)"
    r"|(?P<json>(?:\.activities|\.file-index|\.activity-index)?\.json)"
    rf"|(?:\.(?P<run>r\d+))?(?P<video>{SUFFIX})"
    r")",
    re.IGNORECASE,
)
_CUBOIDS = re.compile(
    r"(\d{4}-\d\d-\d\d)_(\d\d-\d\d-\d\d)_(\d\d-\d\d-\d\d)_([a-z]+)_(G\d{3})\.json"
)
_CITATION: Final = """\
@inproceedings{corona2021meva,
  title     = {{MEVA}: A Large-Scale Multiview, Multimodal Video Dataset for Activity Detection},
  author    = {Corona, Kellie and Osterdahl, Katie and Collins, Roderic and Hoogs, Anthony},
  booktitle = {IEEE Winter Conference on Applications of Computer Vision (WACV)},
  year      = {2021}
}"""
_RUNS: Final = {"r13": 0, None: 1, "r0": 2}


def _prefixes(clip: str) -> tuple[str, ...]:
    """Where the public bucket has a clip: by day and hour; else by the day, in any folder.

    >>> _prefixes("2018-03-07.16-50-01.16-55-01.bus.G331")[0]
    'drops-123-r13/2018-03-07/16/'
    """
    date, start, *_ = clip.split(".")
    return (f"{DROPS}/{date}/{start[:2]}/", f"{DROPS}/{date}/", f"{date}/")


def _file_of(name: str) -> tuple[str, int] | None:
    match = _FILE.fullmatch(name)
    if match is None or not match["video"]:
        return None
    return match["clip"], _RUNS.get(match["run"], 3)


def _is_annotation(name: str) -> bool:
    match = _FILE.fullmatch(name)
    known = match is not None and not match["video"]
    return known or name == CLIP_TABLE or _CUBOIDS.fullmatch(name) is not None


DROPS: Final = "drops-123-r13"  # the folder of the public bucket
HOME: Final = Home(
    terms="MEVA is open to all under CC BY 4.0 (https://mevadata.org).",
    bucket="https://mevadata-public-01.s3.amazonaws.com",
    annotations="https://gitlab.kitware.com/meva/meva-data-repo/-/archive/master/"
    "meva-data-repo-master.tar.gz",
    folder="meva-data-repo",
    prefixes=_prefixes,
    file_of=_file_of,
    date_of=lambda clip: clip.partition(".")[0],
    is_annotation=_is_annotation,
)


@dataclass(frozen=True, slots=True)
class MevaSource:
    """The source ``meva``."""

    name: str = "meva"
    attribution: str = (
        "Multiview Extended Video with Activities (MEVA), by Kitware Inc. and IARPA "
        "(https://mevadata.org), CC BY 4.0. Clips were cut out and labels were mapped."
    )
    license_text: str = "CC BY 4.0"
    citation: str = _CITATION
    home: Home = HOME

    def discover(self, data: Path, settings: Settings) -> Discovery:
        """The clips of ``settings.meva.sets`` below ``data``, each in the first set that has it.

        Raises:
            DataError: no clip of these sets lies there.
            SettingsError: ``meva.sets`` names an unknown set.
        """
        found = self.survey(data, settings)
        if found.entries:
            return found
        wanted = ", ".join(settings.meva.sets)
        if found.others:
            there = ", ".join(sorted({e.annotation_set for e in found.others}))
            raise DataError(
                f"no clip of the MEVA sets {wanted} below {data}, but of {there}; "
                "name them with --set meva.sets=[…]"
            )
        raise DataError(
            f"no MEVA annotation below {data}; looked for CLIP.activities.yml and CLIP.json "
            f"in folders named {wanted}; give a clone of the MEVA annotation repository"
        )

    def survey(self, data: Path, settings: Settings) -> Discovery:
        """As :meth:`discover`, but finding nothing is no error."""
        found, slots = _collect(data, settings.meva.sets)
        sets = _sets(settings, {annotation_set for annotation_set, _ in found.annotations})
        videos = found.videos
        by_clip: dict[str, list[Entry]] = {}
        issues: list[tuple[str, Issue]] = []
        for annotation_set, clip in sorted(found.annotations):
            known = SETS.get(annotation_set, _UNKNOWN)
            picked = found.pick(annotation_set, clip, known.formats)
            if picked is None:
                found.leave(annotation_set, clip)
                continue
            kind, files_of_clip, again = picked
            issues += [
                (clip, repeated(annotation_set, clip, Path(folder).relative_to(data)))
                for folder in again
            ]
            by_clip.setdefault(clip, []).append(
                Entry(
                    source=self.name,
                    video_id=clip,
                    annotation_set=annotation_set,
                    format=kind,
                    files=tuple(files_of_clip),
                    video=videos.get(clip),
                    namespace="meva",
                    dialect=known.dialect if kind == "actev-json" else "",
                    no_geometry=one_actor(kind, known.formats, clip) if known.dialect else "",
                    **_about(clip, slots),
                )
            )
        entries: list[Entry] = []
        others: list[Entry] = []
        for clip, here in by_clip.items():
            wanted = [e for s in sets for e in here if e.annotation_set == s]
            issues += [(clip, _unknown(e)) for e in wanted if e.annotation_set not in SETS]
            others += [e for e in here if e not in wanted]
            if settings.meva.unite == "union" and len(wanted) > 1:
                entries.append(unite_entries(wanted))
                continue
            entries += wanted[:1]
            others += wanted[1:]
            issues += [(clip, other(e, wanted[0])) for e in wanted[1:]]
        return Discovery(
            tuple(sorted(entries, key=_key)),
            (*issues, *found.notes),
            tuple(sorted(others, key=_key)),
            tuple(videos.items()),
            tuple(sorted(found.unplaced)),
        )

    def video_named(self, name: str) -> tuple[str, int] | None:
        """The clip that a video file's name says it is, and its rank: r13 before r0."""
        match = _FILE.fullmatch(name)
        if match is None or not match["video"]:
            return None
        return match["clip"], _RUNS.get(match["run"], 3)

    def default_data(self, out: Path) -> Path | None:
        """None: MEVA's folder is the user's to name."""
        return None


SOURCE: Final = MevaSource()


def unite_entries(entries: Iterable[Entry]) -> Entry:
    """One entry that reads several annotation sets of one video, the first of them first."""
    several = list(entries)
    parts = tuple(
        Part(e.annotation_set, e.format, e.namespace, e.dialect, len(e.files)) for e in several
    )
    return replace(
        several[0],
        annotation_set="+".join(e.annotation_set for e in several),
        files=tuple(f for e in several for f in e.files),
        parts=parts,
    )


def time_slot(clip: str) -> str:
    """The start of a clip floored to five minutes.

    >>> time_slot("2018-03-07.16-54-59.16-55-01.bus.G331")
    '2018-03-07.16-50-00'
    """
    date, start, *_ = clip.split(".")
    hour, minute, _ = start.split("-")
    return f"{date}.{hour}-{int(minute) // 5 * 5:02d}-00"


def read_slots(path: Path) -> dict[str, str]:
    """Clip to time slot, of MEVA's own table of clips.

    Raises:
        DataError: the table cannot be read.
    """
    try:
        lines = read_regular(path, MAX_TABLE).decode("utf-8", "replace").splitlines()
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror}; restore or remove it") from e
    fields = (line.split(None, 2) for line in lines)
    return {f[0]: f[1] for f in fields if len(f) == 3}


def _collect(data: Path, named: Collection[str]) -> tuple[Found, dict[str, str]]:
    """The files below a folder, and the time slots of a table of clips.

    Cuboids of no known set, nor of one that is ``named``, are JHU's.
    """
    found = Found.nothing()
    slots: dict[str, str] = {}
    set_of: dict[str, str] = {}
    for folder, name in walk(data):
        if folder not in set_of:
            set_of[folder] = _set_of(folder, data)
        annotation_set = set_of[folder]
        match = _FILE.fullmatch(name)
        if match:
            clip, suffix = match["clip"], match["video"]
            if suffix:
                found.add_video(clip, _RUNS.get(match["run"], 3), folder, name)
            else:
                kind = "kpf" if match["kpf"] else "actev-json"
                found.add(annotation_set, clip, kind, folder, name)
        elif cuboids := _CUBOIDS.fullmatch(name):
            own = annotation_set if annotation_set in (*SETS, *named) else "JHU-AIEM"
            found.add(own, ".".join(cuboids.groups()), "cuboids", folder, name)
        elif name == CLIP_TABLE:
            slots |= read_slots(Path(folder, name))
    return found, slots


def _set_of(folder: str, data: Path) -> str:
    below, above = parts_of(folder, data)
    upwards = [*reversed(below), *reversed(above)]
    known = (part for part in upwards if part in SETS)
    return next(known, None) or next(part for part in upwards if not _DATED.fullmatch(part))


def _unknown(entry: Entry) -> Issue:
    record, file = f"video {entry.video_id}", entry.files[0].name
    detail = f"set {shown(entry.annotation_set)}, read as {entry.format}"
    return Issue("discover", "unknown_set", "noted", record, file, detail=detail)


def _sets(settings: Settings, there: Collection[str]) -> list[str]:
    """The sets that the settings name: known ones, or folders that are there."""
    wanted = [name.removeprefix("contrib/") for name in settings.meva.sets]
    for name in wanted:
        if name not in SETS and name not in there:
            hint = nearest(name, (*SETS, *there))
            raise SettingsError(
                f"meva.sets: no set {name!r}{hint}; the sets are {', '.join(SETS)}, and any other "
                "folder of annotations by its name"
            )
    if not wanted:
        raise SettingsError(f"meva.sets names no set; the sets are {', '.join(SETS)}")
    return list(dict.fromkeys(wanted))


def _about(clip: str, slots: Mapping[str, str]) -> dict[str, Any]:
    *_, site, camera = clip.split(".")
    picture = cameras().get(camera, Camera(1920, 1080, "30"))
    slot = slots.get(clip) or time_slot(clip)
    return {
        "camera": camera,
        "scene": site,
        "session": slot,
        "width": picture.width,
        "height": picture.height,
        "fps": picture.fps,
    }


def _key(entry: Entry) -> tuple[str, str]:
    return entry.video_id, entry.annotation_set


def current_name(name: str) -> str:
    """MEVA's current name of an activity in any of the three spellings; others stay.

    >>> current_name("Talking"), current_name("digging")
    ('person_talks_to_person', 'digging')
    """
    known = labels.load_map("meva-to-meva-37", labels.load_classes("meva-37")).labels_of(name)
    return known[0] if known else name
