"""Networks from outside the catalogue: torchvision's, timm's and a person's own, stored so that they can be built again.

May import the catalogue. All files but own_files.py load torch when they are imported.
"""
