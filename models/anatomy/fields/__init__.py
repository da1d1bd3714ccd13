"""How far each value of a network sees into the image: receptive_field.py, from the places and pixels upwards.

In this order: lines (which pixels a place sees), spans (which place a value belongs to), terms (what a tensor depends on),
known_values (numbers in index tables), tracked (what is known of the tensors of a run), rules (the means of all rules),
and the rules for operations that work value by value, move values, pick them by index, slide windows, or read along whole
axes. Of anatomy/ it imports meta/ alone; loads torch.
"""
