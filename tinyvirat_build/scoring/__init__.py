"""The challenge's metric: scores of runs and of answer files, the paper's tables and figures."""
