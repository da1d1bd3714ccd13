"""The training form without Textual: its rows and values, and the commands it starts.

May import charts/, networks/ and worker/. Must not load torch.
"""
