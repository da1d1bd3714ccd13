"""What is in a file of weights, and whose they are: weight_file.py, for `show FILE` and `--init-from`.

In this order: transplant (pairs the tensors of two networks that compute the same), weight_reader (opens a file without
running its code), weight_tables (which tensors in it are a network's), weight_pairs (pairs them with the layers of a
network), weight_fit (which network of the catalogue fits), weight_file (all of this as one description). May import
counting.py, the catalogue and torch.
"""
