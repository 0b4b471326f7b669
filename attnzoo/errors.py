"""Errors that end a command with one line and an exit code instead of a traceback."""

from __future__ import annotations

EXIT_CRASHED = 1
EXIT_USER = 2
EXIT_DIVERGED = 3
EXIT_DAMAGED = 4
EXIT_STOPPED = 75


class UserError(Exception):
    """An error that the user can fix: the command prints `attnzoo: error: MESSAGE` and no traceback.

    Args:
        message: one line: where (file, line or record), what is wrong, what was expected, what to do.
        exit_code: 1 crash, 2 invalid input or out of memory, 3 training diverged, 4 damaged checkpoint or
            export, 75 stopped on request and resumable.
    """

    def __init__(self, message: str, exit_code: int = EXIT_USER) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DataWarning(UserWarning):
    """A one-line warning about the data; the command continues."""


class DataNote(DataWarning):
    """A one-line note about the data that may be intended: `--strict` does not make it an error."""


DIVERGED_ADVICE = "lower train.learning_rate or set train.clip_norm or train.max_recoveries"


class Diverged(UserError):
    """A loss, a gradient, an example or a weight is not finite (exit code 3)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_DIVERGED)


class ConfigErrors(UserError):
    """All errors in a config, one line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
