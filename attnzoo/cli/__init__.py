"""The command line: `attnzoo COMMAND`."""

from attnzoo.cli.app import app, command, main

__all__ = ["app", "command", "main"]
