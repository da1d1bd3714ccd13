"""Which networks exist: the notes, what they say of each variant, the family tree, and what a network declares.

Reads text files alone, so a list of all networks takes milliseconds. Must not load torch; a model file is imported
when a network is built. Whatever a person's own model file raises then is told in one line by user_code.
"""
