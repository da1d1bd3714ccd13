"""The training loop: sessions, steps, evaluation, checkpoints, and reports to the run directory.

May import weights/ and everything below it. Loads torch.
"""
