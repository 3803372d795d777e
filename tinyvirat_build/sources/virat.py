"""VIRAT: ground cameras over eleven scenes, in DIVA's KPF, Release 2.0's text, or ActEV JSON.

Per video the first of ``settings.virat.prefer`` that is there is read. UMD's own annotation of
VIRAT videos (folder ``UMD-v1…``) counts as JSON and speaks MEVA's older names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.formats import Dialect
from tinyvirat_build.formats.videos import SUFFIX
from tinyvirat_build.records import Issue
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery, Entry, Home
from tinyvirat_build.sources.files import (
    Found,
    cameras,
    one_actor,
    other,
    parts_of,
    repeated,
    walk,
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way in which VIRAT is annotated."""

    annotation_set: str
    formats: tuple[str, ...]
    namespace: str
    dialect: Dialect = ""


_KINDS: Final[Mapping[str, _Kind]] = {
    "kpf": _Kind("diva", ("kpf",), "virat"),
    "text": _Kind("release2", ("virat-text",), "virat-text"),
    "json": _Kind("actev", ("actev-json",), "virat", "nist"),
}

_VIDEO = r"VIRAT_S_\d{6}(?:_\d{2}_\d{6}_\d{6})?"
_FILE = re.compile(
    rf"(?P<video>{_VIDEO})(?:"
    r"(?P<kpf>[.-](?:activities|geom|types|regions)\.ya?ml)"
    r"|(?P<text>\.viratdata\.(?:events|objects|mapping)\.txt)"
    r"|(?P<json>(?:\.activities|\.file-index|\.activity-index)?\.json)"
    rf"|(?P<suffix>{SUFFIX})"
    r")",
    re.IGNORECASE,
)
_CITATION: Final = """\
@inproceedings{oh2011virat,
  title     = {A Large-scale Benchmark Dataset for Event Recognition in Surveillance Video},
  author    = {Oh, Sangmin and Hoogs, Anthony and Perera, Amitha and others},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2011}
}"""
_UMD = re.compile(r"UMD-v1(?:-\w+)?")


HOME: Final = Home(
    terms="VIRAT is given to each user under their own agreement: accept the terms of VIRAT Video "
    "Dataset Release 2.0 at https://viratdata.org and download the ground videos there; DIVA's "
    "annotations are in https://gitlab.kitware.com/viratdata/viratannotations. Put both below "
    "one folder, and give it as --data.",
)


@dataclass(frozen=True, slots=True)
class ViratSource:
    """The source ``virat``."""

    name: str = "virat"
    attribution: str = (
        "VIRAT Video Dataset, by Kitware Inc. (https://viratdata.org), used under its own terms, "
        "which each user accepts; DIVA annotations of VIRAT by IARPA and Kitware Inc."
    )
    license_text: str = "VIRAT Video Dataset usage agreement; not for redistribution without it"
    citation: str = _CITATION
    home: Home = HOME

    def discover(self, data: Path, settings: Settings) -> Discovery:
        """The videos of VIRAT below ``data``, each with its preferred annotation.

        Raises:
            DataError: no annotation of VIRAT lies there.
            SettingsError: ``virat.prefer`` names an unknown kind.
        """
        found = self.survey(data, settings)
        if found.entries:
            return found
        if found.others:
            there = ", ".join(sorted({e.annotation_set for e in found.others}))
            raise DataError(
                f"no VIRAT annotation of the kinds {', '.join(settings.virat.prefer)} below "
                f"{data}, but of {there}; add its kind to --set virat.prefer=[kpf, text, json]"
            )
        raise DataError(
            f"no VIRAT annotation below {data}; looked for VIRAT_S_….activities.yml, "
            "VIRAT_S_….viratdata.events.txt and VIRAT_S_….json; give their folder"
        )

    def survey(self, data: Path, settings: Settings) -> Discovery:
        """As :meth:`discover`, but finding nothing is no error."""
        for wish in settings.virat.prefer:
            if wish not in _KINDS:
                raise SettingsError(
                    f"virat.prefer: no kind {wish!r}; the kinds are {', '.join(_KINDS)}"
                )
        found = _collect(data)
        videos = found.videos
        by_video: dict[str, list[tuple[str, Entry]]] = {}
        issues: list[tuple[str, Issue]] = []
        bare: list[tuple[str, str]] = []
        for annotation_set, video_id in sorted(found.annotations):
            for word, kind in _kinds_of(annotation_set):
                picked = found.pick(annotation_set, video_id, kind.formats)
                if picked is None:
                    continue
                form, files, again = picked
                issues += [
                    (video_id, repeated(kind.annotation_set, video_id, Path(f).relative_to(data)))
                    for f in again
                ]
                joined = settings.virat.same_boxes == "join"
                video = videos.get(video_id)
                entry = _entry(video_id, kind, form, files, video, same_boxes=joined)
                by_video.setdefault(video_id, []).append((word, entry))
            if video_id not in by_video:
                bare.append((annotation_set, video_id))
        issues += [_without_events(found, *one) for one in bare]
        entries: list[Entry] = []
        others: list[Entry] = []
        for video_id, here in by_video.items():
            wanted = [e for k in settings.virat.prefer for word, e in here if word == k]
            entries += wanted[:1]
            others += [e for _, e in here if e not in wanted[:1]]
            issues += [(video_id, other(e, wanted[0])) for e in wanted[1:]]
        return Discovery(
            tuple(sorted(entries, key=_key)),
            (*issues, *found.notes),
            tuple(sorted(others, key=_key)),
            tuple(videos.items()),
            tuple(sorted(found.unplaced)),
        )

    def video_named(self, name: str) -> tuple[str, int] | None:
        """The video that a file's name says it is."""
        match = _FILE.fullmatch(name)
        return (match["video"], 0) if match is not None and match["suffix"] else None

    def default_data(self, out: Path) -> Path | None:
        """None: VIRAT's folder is the user's to name."""
        return None


SOURCE: Final = ViratSource()


def session_of(video_id: str) -> str:
    """The session of a video: what its camera recorded in one go.

    >>> session_of("VIRAT_S_000200_03_000657_000899"), session_of("VIRAT_S_000001")
    ('VIRAT_S_000200', 'VIRAT_S_000001')
    """
    return "_".join(video_id.split("_")[:3])


def _collect(data: Path) -> Found:
    found = Found.nothing()
    for folder, name in walk(data):
        match = _FILE.fullmatch(name)
        if not match:
            continue
        video_id = match["video"]
        if match["suffix"]:
            rank = 0 if match["suffix"].lower() == ".mp4" else 1
            found.add_video(video_id, rank, folder, name)
        else:
            kind = "kpf" if match["kpf"] else "virat-text" if match["text"] else "actev-json"
            found.add(_umd_folder(folder, data) or "", video_id, kind, folder, name)
    return found


def _umd_folder(folder: str, data: Path) -> str | None:
    below, above = parts_of(folder, data)
    return next((p for p in (*reversed(below), *reversed(above)) if _UMD.fullmatch(p)), None)


def _kinds_of(annotation_set: str) -> list[tuple[str, _Kind]]:
    if annotation_set:  # UMD's KPF holds one actor a clip, its JSON all of them
        return [("json", _Kind(annotation_set, ("actev-json", "kpf"), "meva", "exclusive"))]
    return list(_KINDS.items())


def _entry(
    video_id: str,
    kind: _Kind,
    form: str,
    files: Sequence[Path],
    video: Path | None,
    *,
    same_boxes: bool,
) -> Entry:
    return Entry(
        source=SOURCE.name,
        video_id=video_id,
        annotation_set=kind.annotation_set,
        format=form,
        files=tuple(files),
        video=video,
        namespace=kind.namespace,
        dialect=kind.dialect if form == "actev-json" else "",
        same_boxes=same_boxes,
        no_geometry=one_actor(form, kind.formats, video_id),
        **_about(video_id),
    )


def _without_events(found: Found, annotation_set: str, video_id: str) -> tuple[str, Issue]:
    """Note a video with objects alone, as forty of Release 2.0 are; its files are not read."""
    found.leave(annotation_set, video_id)
    text = "objects without events or activities; not read"
    return video_id, Issue("discover", "empty_clip", "noted", f"video {video_id}", detail=text)


def _about(video_id: str) -> dict[str, Any]:
    scene = video_id.split("_")[2][:4]
    table = cameras()
    names = (f"VIRAT-{scene}", f"VIRAT-{scene[:2]}", "VIRAT")
    picture = next(table[n] for n in names if n in table)
    session = session_of(video_id)
    return {
        "camera": f"VIRAT-{scene}",
        "scene": scene,
        "session": session,
        "width": picture.width,
        "height": picture.height,
        "fps": picture.fps,
    }


def _key(entry: Entry) -> tuple[str, str]:
    return entry.video_id, entry.annotation_set
