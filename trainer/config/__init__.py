"""What a run is configured with: recipe, engine, weights, checkpoints, and the files and presets they come from.

May import data/ (descriptions alone) and common/. Must not load torch.
"""
