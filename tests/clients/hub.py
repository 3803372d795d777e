"""What `datasets` and the Hub's client make of a released folder: its rows and its header."""

import json
import sys

import datasets
from huggingface_hub import DatasetCard

datasets.disable_progress_bars()
loaded = datasets.load_dataset(sys.argv[1])
rows = {split: [dict(row) for row in own] for split, own in loaded.items()}
card = DatasetCard.load(f"{sys.argv[1]}/README.md").data
print(json.dumps({"rows": rows, "license": card.license, "pretty_name": card.pretty_name}))
