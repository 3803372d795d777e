"""How a build is written for others: the released layout, and the training pack."""
