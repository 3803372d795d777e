"""Training on a pack: loader, augmentation, the paper's baselines, the challenge's metric."""
