"""The dataset as it was released: its layout, written from a build and read from any tree."""
