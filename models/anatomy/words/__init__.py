"""What the rows of a layer table do, told to a person: phrases, ideas, steps and formulas.

In this order: quantities (sizes as they are written); the files phrases_of_* and phrases_without_numbers, and phrases (a
single row); idea, change, ideas_by_class, ideas_by_structure and ideas (a block, named for its meaning); walk (the steps
that an image takes through a network); formulas (sizes, parameters and work with live numbers). May import rows/ and
what lies below it, which load torch.
"""
