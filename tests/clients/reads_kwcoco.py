"""A file as kwcoco judges and reads it: faults, and what its tables hold."""

import json
import sys

import kwcoco

found = kwcoco.CocoDataset(sys.argv[1])
judged = found.validate(missing=False, verbose=0)
print(
    json.dumps(
        {
            "faults": [str(fault) for fault in judged["errors"] + judged["warnings"]],
            "counts": found.basic_stats(),
            "videos": sorted(found.videos().lookup("name")),
            "frames": max(len(found.index.vidid_to_gids[v]) for v in found.videos()),
            "categories": sorted(
                name for name, c in found.index.name_to_cat.items() if c.get("activity", True)
            ),
        }
    )
)
