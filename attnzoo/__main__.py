"""`python -m attnzoo` is `attnzoo`."""

from attnzoo.cli import main

if __name__ == "__main__":
    main()
