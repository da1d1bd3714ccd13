"""Summaries and diagnoses of a run's curves, the same for the command line and the app.

May import config/, runs/ and common/. Must not load torch.
"""
