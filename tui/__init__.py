"""The Textual app. Reads models/ and trainer/; only the command line imports it.

The folders form a stack; each imports only from those below it: screens · widgets · core · launch · runs · networks ·
charts and worker. Below them all is background_loop, the loop of the threads that read and draw. Nothing here loads
torch: layer tables come from a process of their own, and training is one.
"""
