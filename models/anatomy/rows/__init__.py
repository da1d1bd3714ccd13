"""The rows of the layer table: what ran in one run of a network, in which order, with which shapes and at what cost.

In this order: operations (the calls that are rows), trace (a run written down), layer (one row as plain data),
weight_ledger (whose weights a row has), layer_tree (the rows of a run), idle_parts (parts that run in training alone),
layer_table (from a network to its rows), folding (shorter tables), layer_json, check (what must be true of every table)
and table_text (the table as a person reads it).
May import counting, forward/, axes/, fields/ and the catalogue; loads torch.
"""
