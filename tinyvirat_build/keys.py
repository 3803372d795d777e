"""The keys of units: digests of all that the work on them depends on, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tinyvirat_build import labels, store, work
from tinyvirat_build.buildfolder import ffmpeg_version
from tinyvirat_build.config import Settings
from tinyvirat_build.sources import Entry


class Keys:
    """The keys of one video's units, by its source's settings and its files' hashes."""

    def __init__(
        self, settings: Settings, classes: tuple[str, ...], hashes: store.HashMemory
    ) -> None:
        self._settings, self._classes, self._hashes = settings, classes, hashes
        self._of_source: dict[str, Settings] = {}
        self._maps: dict[str, str] = {}  # namespace -> digest of its label map

    def settings_of(self, entry: Entry) -> Settings:
        """The settings of the entry's source."""
        if entry.source not in self._of_source:
            self._of_source[entry.source] = self._settings.of(entry.source)
        return self._of_source[entry.source]

    def index(self, entry: Entry, *, planned: bool) -> str:
        """The key of a video's index, which is not looked at where the video is not planned."""
        return store.digest(
            "index", work.INDEX_VERSION, self._hashes.stamp(entry.video) if planned else None,
            entry.width, entry.height, entry.fps, entry.camera, entry.scene, entry.session,
        )  # fmt: skip

    def chain(self, entry: Entry, video: dict[str, Any]) -> dict[str, str]:
        """The keys of a video's stages from parse to crop, each holding the one before it.

        ``video`` is its row of ``videos``.
        """
        settings = self.settings_of(entry)
        size = (video["width"], video["height"])
        spaces = {entry.namespace, *(p.namespace for p in entry.parts)}
        maps = [self._map(space) for space in sorted(spaces)]
        about = asdict(entry) | {"video": None, "files": [f.name for f in entry.files]}
        hashes = [self._hashes.of(f) for f in entry.files]
        key = store.digest(
            "parse", work.PARSE_VERSION, about, hashes, asdict(settings.parse), self._classes,
            maps, size if settings.parse.clip_boxes else None, settings.meva.unite,
        )  # fmt: skip
        keys = {"parse": key}
        for stage in work.VIDEO_STAGES:
            own = stage.settings(settings)
            own = own if isinstance(own, str) else asdict(own)
            extra = size if stage.name == "crop" else None
            key = store.digest(stage.name, stage.version, key, own, extra)
            keys[stage.name] = key
        return keys

    def cut(self, video: dict[str, Any], clip_ids: Sequence[str]) -> str:
        """The key of a video's cuts."""
        settings = self._settings
        return store.digest(
            "cut", work.CUT_VERSION, video["fingerprint"], ffmpeg_version(),
            asdict(settings.encode), settings.videos.max_held, list(clip_ids),
        )  # fmt: skip

    def _map(self, namespace: str) -> str:
        """What a namespace's label map says, so that a changed map is parsed anew."""
        if namespace not in self._maps:
            found = labels.map_of(namespace, self._settings)
            self._maps[namespace] = store.digest(namespace, dict(found.labels))
        return self._maps[namespace]
