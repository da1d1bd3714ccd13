"""One forward pass of a network that belongs to somebody else: what goes in, what comes out, and nothing changed by it.

inputs.py has the shapes as a person writes them and makes the tensors, outputs.py finds the tensors in what is returned,
untouched.py copies the network and keeps the random state. Imports the catalogue and nothing else of anatomy/; loads
torch.
"""
