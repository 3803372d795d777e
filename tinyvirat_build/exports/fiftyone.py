"""FiftyOne's own format on disk (``fiftyone.types.FiftyOneDataset``), without its database.

``metadata.json`` is the document of the dataset, ``samples.json`` those of the samples, and
``frames.json`` those of frames, of which there are none. Ids, which are random there, follow from
the clips. Dates are set by the library as it reads.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from tinyvirat_build import store
from tinyvirat_build.exports.given import ExportClip, Given, place

VERSION: Final = "1.0.0"  # of the documents; the library brings those of older versions up to date

_FIELDS: Final = "fiftyone.core.fields"
_LABELS: Final = "fiftyone.core.labels"


def write(folder: Path, given: Given) -> list[str]:
    """Write the documents and ``data/SPLIT/ID.mp4``; a sample's tag is its split."""
    samples = []
    for clip in given.clips:
        path = f"data/{clip.split}/{clip.id}.mp4"
        place(clip, folder / path)
        samples.append(_sample(clip, path))
    store.write_json(folder / "metadata.json", _dataset(given.classes))
    store.write_json(folder / "samples.json", {"samples": samples})
    store.write_json(folder / "frames.json", {"frames": []})
    given.write_about(folder)
    return []


def _object_id(*parts: str) -> dict[str, str]:
    return {"$oid": store.digest(*parts)[:24]}


def _share(text: str) -> float:
    """A number in [0, 1) that looks random, by which the library draws samples."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / (1 << 48)


def _sample(clip: ExportClip, path: str) -> dict[str, Any]:
    name = f"{clip.split}/{clip.id}"
    labels = [
        {"_id": _object_id(name, label), "_cls": "Classification", "tags": [], "label": label}
        for label in clip.labels or ()
    ]
    rate = Fraction(clip.fps)
    return {
        "_id": _object_id(name),
        "filepath": path,
        "tags": [clip.split],
        "metadata": {
            "_cls": "VideoMetadata",
            "size_bytes": clip.size(),
            "mime_type": "video/mp4",
            "frame_width": clip.width,
            "frame_height": clip.height,
            "frame_rate": float(rate),
            "total_frame_count": clip.frames,
            "duration": float(clip.frames / rate),
        },
        "_media_type": "video",
        "_rand": _share(name),
        "labels": None
        if clip.labels is None
        else {"_cls": "Classifications", "classifications": labels},
        "number": clip.id,
        "clip_id": clip.clip_id,
        "video_id": clip.video_id,
    }


def _dataset(classes: tuple[str, ...]) -> dict[str, Any]:
    identity = _object_id(*classes)
    stamps = [_field(name, "DateTimeField") for name in ("created_at", "last_modified_at")]
    return {
        "_id": identity,
        "name": "tinyvirat",
        "slug": "tinyvirat",
        "version": VERSION,
        "sample_collection_name": f"samples.{identity['$oid']}",
        "frame_collection_name": f"frames.samples.{identity['$oid']}",
        "persistent": False,
        "media_type": "video",
        "tags": [],
        "info": {},
        "classes": {"labels": list(classes)},
        "sample_fields": [
            _field("id", "ObjectIdField", stored="_id"),
            _field("filepath", "StringField"),
            _field("tags", "ListField", of="StringField"),
            _metadata(),
            *stamps,
            _labels(),
            *(_field(name, "StringField") for name in ("number", "clip_id", "video_id")),
        ],
        "frame_fields": [
            _field("id", "ObjectIdField", stored="_id"),
            _field("frame_number", "FrameNumberField"),
            *stamps,
        ],
        **{name: [] for name in ("saved_views", "workspaces")},
        **{name: {} for name in ("annotation_runs", "brain_methods", "evaluations", "runs")},
    }


def _field(
    name: str,
    kind: str,
    *,
    stored: str = "",
    of: str = "",
    document: str = "",
    fields: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The description of a field; ``of`` is the kind of a list's items."""
    return {
        "name": name,
        "ftype": f"{_FIELDS}.{kind}",
        "embedded_doc_type": document or None,
        "subfield": f"{_FIELDS}.{of}" if of else None,
        "fields": fields or [],
        "db_field": stored or name,
    }


def _metadata() -> dict[str, Any]:
    kinds = {
        "size_bytes": "IntField",
        "mime_type": "StringField",
        "frame_width": "IntField",
        "frame_height": "IntField",
        "frame_rate": "FloatField",
        "total_frame_count": "IntField",
        "duration": "FloatField",
        "encoding_str": "StringField",
    }
    return _field(
        "metadata",
        "EmbeddedDocumentField",
        document="fiftyone.core.metadata.VideoMetadata",
        fields=[_field(name, kind) for name, kind in kinds.items()],
    )


def _labels() -> dict[str, Any]:
    label = [
        _field("id", "ObjectIdField", stored="_id"),
        _field("tags", "ListField", of="StringField"),
        _field("label", "StringField"),
        _field("confidence", "FloatField"),
    ]
    several = _field(
        "classifications",
        "ListField",
        of="EmbeddedDocumentField",
        document=f"{_LABELS}.Classification",
        fields=label,
    )
    return _field(
        "labels",
        "EmbeddedDocumentField",
        document=f"{_LABELS}.Classifications",
        fields=[several],
    )
