"""Measures what the engine is worth on a machine: beside the loop of the textbooks, and beside one written by hand."""
