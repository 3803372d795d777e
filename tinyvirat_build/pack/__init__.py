"""The training pack: raw frames of every clip, an index, checksums; the format is docs/pack.md."""
