"""The released layout as ``vipy`` reads TinyVIRAT-v2: tags and the videos' bytes, by split."""

import hashlib
import json
import sys
from pathlib import Path

from vipy.data.tiny_virat import TinyVIRAT

found = TinyVIRAT(sys.argv[1])
told = {}
for split, videos in (
    ("train", found.trainset()), ("val", found.valset()), ("test", found.testset()),
):  # fmt: skip
    told[split] = [
        [
            None if split == "test" else list(video.tags()),
            hashlib.sha256(Path(video.filename()).read_bytes()).hexdigest(),
        ]
        for video in videos
    ]
print(json.dumps(told))
