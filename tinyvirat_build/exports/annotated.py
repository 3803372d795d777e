"""The annotations of a build, video by video, and the YAML file by which they come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from tinyvirat_build import store
from tinyvirat_build.exports.given import Given
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.records import Key
from tinyvirat_build.sources import BUILTIN

TABLES: Final = ["videos", "activities", "boxes", "actors"]


@dataclass(frozen=True, slots=True)
class Annotated:
    """One video's annotations as parsed: activities in file order, boxes by actor and frame."""

    key: Key
    video: dict[str, Any]  # its row of the table
    activities: pd.DataFrame
    actors: tuple[str, ...]  # sorted; those with boxes or types, and those that activities name
    types: dict[str, str]
    code: Ints  # (n,) of each box, its actor
    frame: Ints  # (n,)
    xyxy: Floats  # (n, 4)
    keyframe: Any  # (n,) of bool

    def ends(self) -> Ints:
        """Where each actor's boxes begin, and last where all of them end: (actors + 1,)."""
        return np.searchsorted(self.code, np.arange(len(self.actors) + 1))


@dataclass(slots=True)
class CorpusText:
    """What the YAML file of a source says, gathered while its videos are read."""

    labels: dict[str, list[str]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    rates: Counter[str] = field(default_factory=Counter)

    def add(self, video: Annotated) -> None:
        """Note a video's size, rate and names."""
        self.sizes[int(video.video["width"]), int(video.video["height"])] += 1
        self.rates[str(video.video["fps"])] += 1
        rows = video.activities
        self.labels |= {
            name: list(labels) for name, labels in zip(rows["name"], rows["labels"], strict=True)
        }

    def text(self, form: str, source: str, given: Given) -> str:
        """The YAML; sizes and rates are those of most videos, for the corpus without videos.

        It has the source's own name, by which clips keep their ids, if a description may.
        """
        (width, height), _ = self.sizes.most_common(1)[0]
        tree = {
            "name": f"{source}-{form}" if source in BUILTIN else source,
            "format": form,
            "annotations": source,
            "width": width,
            "height": height,
            "fps": self.rates.most_common(1)[0][0],
            "classes": list(given.classes),
            "labels": dict(sorted(self.labels.items())),
        }
        told = (
            "# The annotations of a build, to be corrected and built again:\n"
            "# add `videos`, the folder of the videos, and `group`, `attribution` and `license`\n"
            "# as your corpus has them (docs/corpus.md).\n"
        )
        return told + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def annotated(given: Given) -> Iterator[Annotated]:
    """The videos of a build with their annotations, in order of their keys; one is held at once.

    Raises:
        BuildError: the build is not parsed.
    """
    files = {name: given.build.table_file(name) for name in TABLES}
    for key, rows in store.read_by_video(files):
        boxes, activities, actors = rows["boxes"], rows["activities"], rows["actors"]
        types = dict(zip(actors["actor_id"], actors["type"], strict=True))
        boxes = boxes.assign(actor_id=boxes["actor_id"].cat.remove_unused_categories())
        words = [str(name) for name in boxes["actor_id"].cat.categories]
        named = {a for own in activities["actors"] for a in own}
        ids = sorted({*words, *types, *named})
        place = {name: n for n, name in enumerate(ids)}
        code = np.array([place[w] for w in words], np.int64)[boxes["actor_id"].cat.codes]
        frame = boxes["frame"].to_numpy(np.int64)
        order = np.lexsort((frame, code))
        (video,) = rows["videos"].to_dict("records")
        yield Annotated(
            key=key,
            video={str(name): value for name, value in video.items()},
            activities=activities.sort_values("file_order", kind="stable"),
            actors=tuple(ids),
            types=types,
            code=code[order],
            frame=frame[order],
            xyxy=boxes[["x1", "y1", "x2", "y2"]].to_numpy(float)[order],
            keyframe=boxes["keyframe"].to_numpy(bool)[order],
        )


def write_corpora(folder: Path, form: str, corpora: dict[str, CorpusText], given: Given) -> None:
    """Write ``SOURCE-FORMAT.yaml`` for each source, whose annotations lie in ``SOURCE/``."""
    for source, corpus in corpora.items():
        store.write_text(folder / f"{source}-{form}.yaml", corpus.text(form, source, given))
