"""What the rows of a layer table do, told to a person: phrases, ideas, steps and formulas.

In this order: phrases (a single row), ideas (a block, named for its meaning), walk (the steps that an image takes through
a network) and formulas (sizes, parameters and work with live numbers). May import rows/ and what lies below it, which
load torch.
"""
