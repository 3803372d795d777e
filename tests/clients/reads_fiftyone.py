"""FiftyOne's own reading of an export, up to its database: documents, fields, samples."""

import hashlib
import json
import sys
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.utils.data as foud
from fiftyone.core.fields import Field

folder = sys.argv[1]
importer = foud.FiftyOneDatasetImporter(folder)
importer.setup()
assert not importer._is_legacy_format_data()
document = foo.DatasetDocument.from_dict(dict(importer._dataset_dict))
document.validate()
fields = {field.name: field.to_field() for field in document.sample_fields}
assert all(isinstance(field, Field) for field in fields.values())
samples, _ = foo.import_collection(importer._samples_path, key="samples")
frames, _ = foo.import_collection(importer._frames_path, key="frames")
assert list(frames) == []

told: dict[str, list[object]] = {"train": [], "val": [], "test": []}
for raw in samples:
    assert set(raw) - {"_id", "_media_type", "_rand"} <= fields.keys()
    for name, value in raw.items():
        if name in fields and value is not None and name not in ("metadata", "labels"):
            fields[name].validate(value)
    sample = fo.Sample.from_dict(raw)
    assert isinstance(sample.metadata, fo.VideoMetadata)
    path = Path(folder, raw["filepath"])
    assert sample.metadata.size_bytes == path.stat().st_size
    labels = sample.labels and [one.label for one in sample.labels.classifications]
    (split,) = sample.tags
    told[split].append(
        {
            "id": sample.number,
            "labels": labels,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    )
classes = foud.FiftyOneDatasetImporter._get_classes(folder)
print(json.dumps({"classes": classes, "rows": told}))
