"""The released folder as Croissant 1.1 tells it: its files, splits, classes and rows.

Croissant is JSON-LD (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html). Each split
is a set of records of its own, since the rows of the test split have no label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tinyvirat_build import store
from tinyvirat_build.records import SPLITS
from tinyvirat_build.released.about import LICENCES, About, Terms, citations, licence_of
from tinyvirat_build.released.card import Rows
from tinyvirat_build.released.layout import CARD, CLASS_MAP, LISTS

Node = dict[str, Any]

_TEXT: Final = {"@container": "@language"}
_CONTEXT: Final[Node] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": _TEXT,
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": _TEXT,
    **{
        word: f"cr:{word}"
        for word in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract",
            "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray",
            "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
            "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
            "subField", "transform",
        )
    },
}  # fmt: skip
_ROLES: Final = {"train": "TrainingSplit", "val": "ValidationSplit", "test": "TestSplit"}
_VERSION: Final = "1.0.0"  # of the dataset: builds that differ are datasets of their own


def croissant(rows: Rows, classes: Sequence[str], about: About, texts: Mapping[str, str]) -> Node:
    """The tree of ``croissant.json``; ``texts``: the lists and the class map, by name."""
    names = ", ".join(source.name for source in about.sources)
    total = sum(len(own) for own in rows.values())
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"tiny-actions-{'-'.join(source.name for source in about.sources)}",
        "description": (
            f"{total} multi-label video clips of tiny actions, cut out of surveillance video "
            f"({names}) after the rule of TinyVIRAT by tinyvirat-build {about.version}, in "
            "TinyVIRAT-v2's layout. The labels of the test split are withheld."
        ),
        "url": CARD,
        "license": list(dict.fromkeys(map(_licence, about.sources))),
        "creator": [
            {
                "@type": "sc:Organization",
                "name": source.name,
                "description": store.printable(source.attribution),
            }
            for source in about.sources
        ],
        "citeAs": citations(about),
        "datePublished": about.settings.publish.date,
        "version": _VERSION,
        "inLanguage": "en",
        "keywords": ["video", "action recognition", "multi-label", "surveillance"],
        "isLiveDataset": False,
        "distribution": [*_files(texts), *map(_clips, SPLITS)],
        "recordSet": [_splits(), _classes(classes), *(_records(s, rows[s]) for s in SPLITS)],
    }


def _licence(source: Terms) -> str:
    known = LICENCES.get(licence_of(source))
    return known or store.printable(source.license_text) or "unknown"


def _files(texts: Mapping[str, str]) -> Iterator[Node]:
    about = {LISTS[split]: f"The rows of the split {split}." for split in SPLITS}
    about[CLASS_MAP] = "The number of each class."
    for name, description in about.items():
        content = texts[name].encode()
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "description": description,
            "contentUrl": name,
            "contentSize": f"{len(content)} B",
            "encodingFormat": "application/json",
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def _clips(split: str) -> Node:
    return {
        "@type": "cr:FileSet",
        "@id": f"videos-{split}",
        "name": f"videos-{split}",
        "description": f"The clips of the split {split}; a row's path begins in their folder.",
        "encodingFormat": "video/mp4",
        "includes": f"videos/{split}/{'*.mp4' if split == 'test' else '*/*.mp4'}",
    }


def _splits() -> Node:
    fields = [
        _field("splits", "name", "sc:Text", "The split's name."),
        _field("splits", "url", "sc:URL", "What it is for."),
    ]
    data = [{"splits/name": s, "splits/url": f"cr:{_ROLES[s]}"} for s in SPLITS]
    return _set("splits", "The splits.", "name", fields, dataType="cr:Split", data=data)


def _classes(classes: Sequence[str]) -> Node:
    fields = [
        _field("classes", "name", "sc:Text", "The class, as labels name it."),
        _field("classes", "index", "sc:Integer", "Its number."),
    ]
    data = [{"classes/name": name, "classes/index": i} for i, name in enumerate(classes)]
    return _set("classes", "The classes.", "name", fields, dataType="sc:Enumeration", data=data)


def _records(split: str, rows: Sequence[Mapping[str, Any]]) -> Node:
    def read(name: str, kind: Any, description: str, **more: Any) -> Node:
        extract = {"fileObject": {"@id": LISTS[split]}, "extract": {"jsonPath": f"$[*].{name}"}}
        return _field(split, name, kind, description, source=extract, **more)

    fields = [
        read("id", "sc:Text", "The clip's number in its split."),
        read("video_id", "sc:Text", "The source video; a test clip's own number."),
        read("path", "sc:Text", f"The clip's file below videos/{split}/."),
        read("dim", "sc:Integer", "Frames, height, width.", isArray=True, arrayShape="3"),
        _field(
            split, "split", ["sc:Text", "cr:Split"], "The split.", value=split,
            references={"field": {"@id": "splits/name"}},
        ),
    ]  # fmt: skip
    if rows and all("clip_id" in row for row in rows):
        fields.insert(2, read("clip_id", "sc:Text", "The clip's name in the original release."))
    if split != "test":
        about = "The clip's classes, in the order of their numbers."
        kinds = ["sc:Text", "cr:Label"]
        fields.append(read("label", kinds, about, isArray=True, arrayShape="-1"))
    return _set(split, f"The clips of the split {split}, one a record.", "id", fields)


def _field(parent: str, name: str, kind: Any, description: str, **more: Any) -> Node:
    return {
        "@type": "cr:Field",
        "@id": f"{parent}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        **more,
    }


def _set(name: str, description: str, key: str, fields: Sequence[Node], **more: Any) -> Node:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/{key}"},
        "field": list(fields),
        **more,
    }
