"""`python -m cnn_explorer` is the command `cnn-explorer`."""

from cnn_explorer.cli.main import main

if __name__ == "__main__":
    main()
