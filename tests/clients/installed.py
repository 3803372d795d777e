"""The libraries that read what is exported, each imported: their names and versions."""

import importlib
import importlib.metadata
import json

MODULES = {
    "cvat-sdk": "cvat_sdk",
    "datasets": "datasets",
    "datumaro": "datumaro",
    "decord": "decord",
    "fiftyone": "fiftyone",
    "kwcoco": "kwcoco",
    "mlcroissant": "mlcroissant",
    "vipy": "vipy",
    "webdataset": "webdataset",
}

for module in MODULES.values():
    importlib.import_module(module)
print(json.dumps({name: importlib.metadata.version(name) for name in MODULES}))
