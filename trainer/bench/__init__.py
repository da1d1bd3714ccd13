"""Benchmarks: the engine beside two other training loops, measured in turns.

The top of the stack: may import every folder of trainer/. Loads torch.
"""
