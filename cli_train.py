"""`cnn-explorer train`."""
