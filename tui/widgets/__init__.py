"""The widgets of the screens.

May import core/ and everything below it, never a screen: what needs one is asked for by a message. Must not load
torch.
"""
