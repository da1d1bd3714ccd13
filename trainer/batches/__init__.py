"""From stored images to training batches: order, augmentation, mixtures, class balance, and their place in memory.

May import devices/, config/, data/ and common/. Loads torch.
"""
