"""Shards as ``webdataset`` streams them: samples by split."""

import hashlib
import json
import sys
from pathlib import Path

import webdataset as wds

told = {}
for split in ("train", "val", "test"):
    shards = sorted(map(str, Path(sys.argv[1]).glob(f"{split}-*.tar")))
    samples = wds.WebDataset(shards, shardshuffle=False, empty_check=False).decode()
    told[split] = [
        {
            "id": sample["__key__"],
            "labels": sample["json"].get("label"),
            "sha256": hashlib.sha256(sample["mp4"]).hexdigest(),
        }
        for sample in (samples if shards else ())
    ]
print(json.dumps(told))
