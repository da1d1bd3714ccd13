"""The Textual app: reads models/ and trainer/, and is imported by the command line alone."""
