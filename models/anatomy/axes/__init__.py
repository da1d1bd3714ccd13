"""What the axes of each tensor of one run mean: batch, channels, rows, columns, frames, tokens.

In this order: factors (an axis as what it was made of), layout (the same in words), rules (the means of all rules), the
rules for operations that move values and for those that compute, and tracked (what is known of the tensors of a run).
Imports nothing else of anatomy/; loads torch.
"""
