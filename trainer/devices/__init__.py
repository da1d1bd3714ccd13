"""The machine's devices, and groups of processes that train together.

May import common/. Imports torch late, inside functions: the app and the command line list devices without it.
"""
