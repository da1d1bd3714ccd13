"""One output value of a row with the numbers that it is made of: one_value.py, for the walk.

In this order: caught (a row as it ran, with what went in and what came out), the rules by kind (windows, transposed,
products, norms, strengths, activations, attention, multi_head, choices, recurrent), one_value
(which row has which rule). Of anatomy/ it imports rows/; loads torch.
"""
