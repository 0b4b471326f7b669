"""attnzoo: a Keras zoo of attention models with a command line trainer."""

__version__ = "0.1.0"
