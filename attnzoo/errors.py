"""Errors that end a command with one line and an exit code instead of a traceback."""

from __future__ import annotations

EXIT_CRASHED = 1
EXIT_USER = 2
EXIT_DIVERGED = 3
EXIT_DAMAGED = 4
EXIT_STOPPED = 75


class UserError(Exception):
    """Something the user can put right: the command prints `attnzoo: error: MESSAGE` and no traceback.

    Args:
        message: one line: where (file, line or record), what is wrong, what was expected, what to do.
        exit_code: 1 a crash, 2 the user's input or too little memory, 3 training diverged, 4 a damaged
            checkpoint or export, 75 stopped on request and resumable.
    """

    def __init__(self, message: str, exit_code: int = EXIT_USER) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DataWarning(UserWarning):
    """Something about the data that a person should know although the command goes on: one line."""


class DataNote(DataWarning):
    """Something about the data that is worth a line and may well be meant: `--strict` does not refuse it."""


DIVERGED_ADVICE = "lower train.learning_rate or set train.clip_norm or train.max_recoveries"


class Diverged(UserError):
    """A loss, a gradient, an example or a weight is not finite (exit code 3)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_DIVERGED)


class ConfigErrors(UserError):
    """All that is wrong in a config, one line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
