"""What the axes of each tensor of one run mean: batch, channels, rows, columns, frames, tokens.

Imports nothing else of anatomy/; loads torch.
"""
