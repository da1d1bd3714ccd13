"""`cnn-explorer runs …`."""
