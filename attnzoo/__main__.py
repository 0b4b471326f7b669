"""`python -m attnzoo` is `attnzoo`."""

from attnzoo.cli import command

if __name__ == "__main__":
    command()
