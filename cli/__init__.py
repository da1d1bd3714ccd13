"""The `cnn-explorer` command: parse the arguments, then import what the subcommand needs.

May import everything. Must not load torch or Textual when it is imported.
"""
