"""The command `cnn-explorer`: find the command that is meant, import what it needs, and parse its arguments.

May import everything. Must not load torch or Textual when it is imported.
"""
