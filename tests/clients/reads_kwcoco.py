"""Files as kwcoco judges and reads them: of each its faults, and what its tables hold."""

import json
import sys

import kwcoco

told = []
for path in sys.argv[1:]:
    found = kwcoco.CocoDataset(path)
    judged = found.validate(missing=False, verbose=0)
    categories = found.index.name_to_cat.items()
    told.append(
        {
            "faults": [str(fault) for fault in judged["errors"] + judged["warnings"]],
            "videos": found.videos().lookup("name"),
            "images": found.n_images,
            "annotations": found.n_annots,
            "tracks": sum(bool(found.index.trackid_to_aids[t]) for t in found.index.tracks),
            "activities": sorted(name for name, c in categories if c.get("activity", True)),
        }
    )
print(json.dumps(told))
