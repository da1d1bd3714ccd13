"""The run directory: its files, its lock, its states, and everything that writes or reads them.

May import common/. Must not load torch: lists of runs are read in milliseconds.
"""
