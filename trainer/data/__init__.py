"""Data sets: which exist, how they are found, decoded, split and kept in the cache.

May import common/. Images become torch tensors here; dataset_info.py, folder_scan.py and split.py describe data
without torch.
"""
