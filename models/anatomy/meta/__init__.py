"""Operations on the meta device: shapes and MACs, no values.

macs.py counts one operation, known_shapes.py keeps what PyTorch has worked out before, meta_device.py builds a
network there and fills nothing. Imports nothing else of anatomy/; loads torch.
"""
