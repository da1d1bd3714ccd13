"""Networks from outside the catalogue: torchvision's, timm's and a person's own, stored so that they can be built again.

May import the catalogue. Loads torch only where a network is built; own_files.py does without it.
"""
