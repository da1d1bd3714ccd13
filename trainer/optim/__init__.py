"""Optimisers, sharpness-aware minimisation, and the rates of pretrained layers.

May import config/ and common/. Loads torch.
"""
