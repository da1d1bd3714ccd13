"""What the run screens show, without Textual: tables, pages, notifications, summaries, and actions on runs.

May import charts/, networks/ and background_loop. Must not load torch.
"""
