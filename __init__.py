"""cnn-explorer: learn, take apart, train and compare image-classification networks in the terminal."""

__version__ = "0.1.0"
