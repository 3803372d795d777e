"""What vipy's reader of TinyVIRAT makes of a build: per split (shape, labels) of each clip."""

import json
import os
import sys
from pathlib import Path

import vipy.data.tiny_virat

build, ffmpeg, every = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
named = Path(os.environ["TMPDIR"], "ffmpeg")  # vipy calls it by its name
named.symlink_to(ffmpeg)
os.environ["PATH"] = f"{named.parent}:{os.environ['PATH']}"
released = vipy.data.tiny_virat.TinyVIRAT(build)
splits = {"train": released.trainset(), "val": released.valset(), "test": released.testset()}
found = {}
for split, clips in splits.items():
    for clip in list(clips)[::every]:
        name = Path(clip.filename()).relative_to(Path(build, "TinyVIRAT_V2", "videos", split))
        tags = sorted(clip.tags()) if split != "test" else None
        found[f"{split}/{name}"] = [clip.load().array().shape, tags]
print(json.dumps(found))
