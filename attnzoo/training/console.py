"""Console output during training: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

PLAIN_LINE_SECONDS = 10.0


class Display:
    """Shows the progress of one run. Use it as a context manager, which ends the progress bar.

    Args:
        total: total number of optimizer steps.
        done: steps already taken before a restart.
        unit: unit of the speed ("examples", "tokens").
    """

    def __init__(self, total: int, done: int, unit: str) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.total, self.unit = total, unit
        self.since: tuple[float, int] | None = None
        self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if sys.stdout.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[state]}"),
                console=self.console,
            )
            self.task = self.bar.add_task("training", total=total, completed=done, state="compiling")

    def __enter__(self) -> Display:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def line(self, text: str) -> None:
        """Prints a line above the progress bar."""
        self.console.print(text, markup=False)

    def step(self, step: int, loss: float, speed: float) -> None:
        """Updates the progress.

        Args:
            step: optimizer steps taken.
            loss: mean training loss since the last call.
            speed: targets per second.
        """
        now = time.monotonic()
        state = f"loss {loss:.4f}  {speed:,.0f} {self.unit}/s{self._left(now, step)}"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, state=state)
        elif now - self.last_line >= PLAIN_LINE_SECONDS or step == self.total:
            self.last_line = now
            self.line(f"step {step}/{self.total}  {state}")

    def _left(self, now: float, step: int) -> str:
        """Returns the remaining time; nothing for the first steps, which are traced and compiled."""
        if step == self.total:
            return "  0:00 left"
        if self.since is None:
            self.since = now, step
            return ""
        begin, first = self.since
        return f"  {duration((now - begin) / max(1, step - first) * (self.total - step))} left"


def print_line(text: str) -> None:
    """Prints a line when there is no display."""
    print(text)


def warn(text: str) -> None:
    """Prints a one-line warning to the error stream."""
    print(f"attnzoo: warning: {text}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Prints a one-line note, which is less than a warning, to the error stream."""
    print(f"attnzoo: note: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Formats a duration.

    Examples:
        >>> duration(75.0), duration(4000.0)
        ('1:15', '1:06:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def metrics_text(metrics: Mapping[str, float | str]) -> str:
    """Formats numeric metrics on one line; strings (signatures) are left out.

    Examples:
        >>> metrics_text({"loss": 0.12344, "bleu_signature": "nrefs:1"})
        'loss 0.1234'
    """
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if not isinstance(value, str))


def next_commands_text(commands: Sequence[tuple[str, str]]) -> str:
    """Returns the lines that suggest what to do with a finished run.

    Args:
        commands: commands, and what each is for.

    Examples:
        >>> print(next_commands_text([("attnzoo eval runs/dates", "evaluate"), ("tensorboard", "curves")]))
        next:
          attnzoo eval runs/dates  evaluate
          tensorboard              curves
    """
    width = max((len(command) for command, _ in commands), default=0)
    return "\n".join(["next:", *(f"  {command:{width}}  {what}" for command, what in commands)])
