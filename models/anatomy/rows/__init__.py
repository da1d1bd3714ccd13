"""The rows of the layer table: what ran in one run of a network, in which order, with which shapes and at what cost.

In this order: operations (the calls that are rows), trace (a run written down), weight_ledger (whose weights a row has),
layer_table (the tree of rows), check (what must be true of every table) and table_text (the table as a person reads it).
May import counting, forward/, axes/, fields/ and the catalogue; loads torch.
"""
