"""The full screens and dialogs.

The top of the stack below the app: may import every folder of tui/. Screens know the app through core/protocol.py
alone. Must not load torch.
"""
