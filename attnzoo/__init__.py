"""attnzoo: a Keras zoo of attention models with a command line trainer."""

from attnzoo.registration import register_with_keras

__version__ = "0.1.0"

register_with_keras()
