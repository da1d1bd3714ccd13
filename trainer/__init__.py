"""Data sets, recipes, the training loop and the run directory.

Knows nothing of the screens. The folders form a stack; each imports only from those below it: bench · launch and
planning · loop · weights · optim and batches · export and analysis · devices · config · data · runs · common. Each
folder says whether it may load torch; the package itself loads nothing.
"""
