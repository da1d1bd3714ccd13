"""Weights in files and in networks: checkpoints, exports, published weights, and the first values of a run.

May import batches/ and everything below it. Loads torch.
"""
