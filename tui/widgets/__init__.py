"""Widgets that take plain data and can be tried alone."""
