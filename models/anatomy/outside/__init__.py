"""Networks as somebody names them or hands them over: found, built, run in the way that works, or told why none does.

In this order: sizes (image sizes that run), failure (where a run broke off), traced (a run with values or without),
torchvision_names (what torchvision lists) and external (any network by its name). May import rows/ and what lies below
it, the catalogue and networks of one's own; loads torch.
"""
