"""Batches of clips from a pack, on the CPU or a GPU, and a plain dataset over mp4 files."""
