"""What mlcroissant says of a croissant.json, and the records of each set that it reads by it."""

import json
import sys

import mlcroissant

dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.issues


def plain(value: object) -> object:
    if isinstance(value, dict):
        return {name.partition("/")[2]: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.decode() if isinstance(value, bytes) else value


sets = {r.id: [plain(row) for row in dataset.records(r.id)] for r in dataset.metadata.record_sets}
said = sorted([*issues.errors, *issues.warnings])
version = dataset.metadata.ctx.conforms_to.value
print(json.dumps({"issues": said, "version": version, "records": sets}))
