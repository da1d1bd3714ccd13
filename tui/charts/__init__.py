"""One pipeline from a run's records to rows of Braille characters.

In this order: reader, history, series, view, state, chart, plot, braille, ticks, markers. Imports nothing else of
tui/, and neither Textual nor torch.
"""
