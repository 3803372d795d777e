"""Training on a pack: the paper's baselines, their runs and checkpoints."""
