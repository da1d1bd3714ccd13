"""What the run screens show, without Textual: tables, pages, notifications, summaries, and actions on runs.

May import charts/ and networks/. Must not load torch.
"""
