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
            "rows": [
                (
                    str(annotation["track_id"]),
                    found.index.imgs[annotation["image_id"]]["frame_index"],
                    found.index.cats[annotation["category_id"]]["name"],
                    annotation["bbox"],
                )
                for annotation in found.index.anns.values()
            ],
            "activities": sorted(name for name, c in categories if c.get("activity", True)),
        }
    )
print(json.dumps(told))
