"""Where a clip's own actors stand in its window, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.stages.activity_boxes import (
    Activities,
    ActorBoxes,
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.tables import each_video


def boxes_in_windows(
    clips: pd.DataFrame, activities: pd.DataFrame, boxes: pd.DataFrame
) -> list[Ints]:
    """The box of each clip's activities on each of its frames, for the clips of one video.

    An activity's box is the union of its actors' boxes. Each is ``x1 y1 x2 y2 (4, T)`` in pixels
    of the clip's window, widened to whole ones and clipped to it; without an area where no actor
    is seen in the window.
    """
    if clips.empty:
        return []
    ((_, (rows, found_activities, found_boxes)),) = each_video(clips, activities, boxes)
    acts, actor_boxes = read_activities(found_activities), read_boxes(found_boxes)
    place = {name: i for i, name in enumerate(acts.ids)}
    start, end = rows.ints("start").tolist(), rows.ints("end").tolist()
    width, height = rows.ints("width").tolist(), rows.ints("height").tolist()
    found = []
    for i, (own, x, y) in enumerate(
        zip(rows.lists("activities"), rows["x"], rows["y"], strict=True)
    ):
        reach = _reach([place[str(a)] for a in own], start[i], end[i], acts, actor_boxes)
        found.append(_within(reach, x, y, width[i], height[i]))
    return found


def _reach(own: list[int], start: int, end: int, acts: Activities, boxes: ActorBoxes) -> Floats:
    """The union of some activities' boxes on the frames of a span: ``(4, end - start)``."""
    reach = geometry.no_reach(end - start)
    for activity in own:
        low, high = max(start, int(acts.start[activity])), min(end, int(acts.end[activity]))
        codes = np.array(boxes.codes(acts.actors[activity]), np.int64)
        at, count = boxes.rows(codes, np.full(len(codes), low), np.full(len(codes), high))
        for first, n in zip(at.tolist(), count.tolist(), strict=True):
            frames = boxes.frame[first : first + n] - start
            reach[:, frames] = np.maximum(reach[:, frames], boxes.reach[:, first : first + n])
    return reach


def _within(reach: Floats, x: Any, y: Any, width: int, height: int) -> Ints:
    """A reach in pixels of a window whose corners are ``x, y``."""
    corner = np.array([x, y], np.int64)
    there = geometry.present(reach)
    x1, y1, x2, y2 = geometry.corners(np.where(there, reach, 0.0))
    box = np.stack([np.floor(x1), np.floor(y1), np.ceil(x2), np.ceil(y2)]).astype(np.int64)
    box -= np.concatenate([corner, corner])
    limit = np.array([[width], [height], [width], [height]])
    return np.where(there, np.clip(box, 0, limit), 0)
