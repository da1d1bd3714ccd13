"""What a network is made of: layers, shapes, MACs, receptive fields, memory; and how two differ.

From the bottom upwards, each folder imports only from those below it: meta/ (operations without values, each worked out
once) and counting.py, which all of them may use; forward/ (what goes into a run of a network and comes out), axes/ (what
the axes of its tensors mean) and fields/ (how far values see); rows/ (the run written down, and the layer table); words/
and values/ (what a row does, in words and in numbers) and outside/ (any network by its name); totals/ (memory,
comparisons) and saved_weights/ (files of weights).

May import the catalogue, networks of one's own, and torch; knows nothing of training. server.py answers questions in a
process of its own, so that the app need not load torch.
"""
