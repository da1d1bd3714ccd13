"""The architectures, one file each, and the primitives they share (layers.py).

Each file reads from top to bottom like its paper. A file may import layers.py, the declaration in catalogue/ and the
architectures it builds on; nothing here imports trainer/, cli/ or tui/. Importing a model file loads torch; the
package itself loads nothing.
"""
