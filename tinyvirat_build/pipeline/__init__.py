"""A run: the table of stages, what of it is stale, and the work itself."""
