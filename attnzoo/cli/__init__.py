"""The command line: `attnzoo COMMAND`."""

from attnzoo.cli.app import app, main

__all__ = ["app", "main"]
