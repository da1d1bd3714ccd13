"""Decide before a training starts what it will do: plan, memory and time, calibration, learning-rate search.

May import loop/ and everything below it. Loads torch.
"""
