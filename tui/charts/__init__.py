"""One pipeline from a run's records to rows of Braille characters.

In this order: followers, history, series, view, state, chart, plot, braille, ticks, markers. A follower reads a run for
everybody who shows it; its history holds the records as series. A view says how curves are wanted, and the state holds
what a person chose. From these chart makes the lines of a chart, and plot draws them with the help of the last three.
The thread that does all this is in reader. The overview of a run and the commands go a shorter way: run_curves reduces
a history to curves over epochs, plotext_chart has plotext draw them, and the thread is in overview_reader. Selection,
sparkline, export and chart_data serve the screens around the charts. Imports nothing of tui/ but
background_loop, and neither Textual nor torch.
"""
