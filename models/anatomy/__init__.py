"""What a network is made of: layers, shapes, multiply-adds, receptive fields, memory; and how two differ.

fields/ follows the receptive fields; saved_weights/ reads files of weights.

May import the catalogue and torch; knows nothing of training. server.py answers questions in a process of its own, so
that the app need not load torch.
"""
