"""A terminal that remembers what is to be seen on it."""

import io
import re

import pytest

_PARTS = re.compile(r"\x1b\[(?P<number>\d*)(?P<code>[A-Za-z])|\x1b\[\?25[hl]|(?P<text>[^\x1b])", re.DOTALL)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Returns True."""
        return True

    @property
    def lines(self) -> list[str]:
        """The lines that are on the screen, and those that have left it, as wide as they were written.

        Colors are left out; what has been erased or written over is gone.
        """
        lines, row, column = [""], 0, 0
        for part in _PARTS.finditer(self.getvalue()):
            text, code = part["text"], part["code"]
            if text == "\n":
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            elif text == "\r":
                column = 0
            elif text:
                lines[row] = f"{lines[row][:column]:{column}}{text}{lines[row][column + 1 :]}"
                column += 1
            elif code == "A":
                row -= int(part["number"] or 1)
            elif code == "K":
                lines[row] = ""
        return [line.rstrip() for line in lines]


def replace_stream(monkeypatch: pytest.MonkeyPatch, name: str, columns: int = 80) -> Terminal:
    """Lets `sys.stdout` or `sys.stderr` be a terminal of so many columns; returns it."""
    terminal = Terminal()
    monkeypatch.setattr(f"sys.{name}", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    return terminal
