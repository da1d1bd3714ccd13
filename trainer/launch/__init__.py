"""Processes: start a run here or detached, queue several, spread one over devices, and pass on signals.

May import loop/ (late) and everything below it. Must not load torch when it is imported, because the command line and
the app import it.
"""
