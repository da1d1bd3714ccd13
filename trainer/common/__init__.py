"""Small helpers that every folder of trainer/ uses: files, text, processes, progress, checks of values, random states.

Imports nothing of trainer/. Must not load torch when it is imported.
"""
