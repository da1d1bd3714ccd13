"""Write a run's records in other formats.

May import runs/ and common/. Must not load torch when it is imported.
"""
