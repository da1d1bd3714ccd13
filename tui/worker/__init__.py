"""The helper process, which loads torch, and the requests to it.

Imports nothing else of tui/. Must not load torch itself.
"""
