"""Data sets, recipes, the training loop and the run directory; knows nothing of the screens."""
