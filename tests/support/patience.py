"""How long a test waits for what must happen, before it fails.

It costs nothing where the thing happens. On a machine with twenty other busy processes the first screen of the app, or a
training in a process of its own, may take minutes.
"""

PATIENCE_S = 300.0
