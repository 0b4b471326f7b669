"""Console output during training: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

PLAIN_LINE_SECONDS = 10.0
"""Lines about the progress come at most this often where there is no progress bar."""
BAR_SECONDS = 0.5


class Display:
    """Shows the progress of one run. Use it as a context manager, which ends the progress bar.

    Args:
        total: total number of optimizer steps.
        done: steps already taken before a restart.
        unit: unit of the speed ("examples", "tokens").
    """

    def __init__(self, total: int, done: int, unit: str) -> None:
        is_terminal = sys.stdout.isatty()
        self.console = Console(highlight=False, soft_wrap=not is_terminal)
        self.total, self.done, self.unit = total, done, unit
        self.state = ""
        self.begin: float | None = None
        self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                _StateColumn(Column(no_wrap=True)),
                console=self.console,
            )
            self.task = self.bar.add_task(
                "training", total=total, completed=done, state="compiling", since=self.last_line
            )

    def __enter__(self) -> Display:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the progress bar: later lines come below it."""
        if self.bar is not None:
            self.bar.stop()

    def line(self, text: str) -> None:
        """Prints a line above the progress bar; several where a terminal would break it inside a word."""
        shown = text if self.bar is None else wrapped(text, self.console.width)
        self.console.print(shown, markup=False, no_wrap=True, overflow="ignore", crop=False)

    def compiling(self, number: int, total: int) -> None:
        """Says that the first batch of another length is being compiled, with a clock.

        Args:
            number: of the length, from 1 in the order in which they occur.
            total: number of lengths that batches have at most.
        """
        now, is_first = time.monotonic(), self.begin is None
        self.begin = now if self.begin is None else self.begin
        state = f"compiling length {number} of {total}" if total > 1 else "compiling"
        if self.bar is not None:
            self.bar.update(self.task, state=state, since=now)
        elif total > 1 and (is_first or now - self.last_line >= PLAIN_LINE_SECONDS):
            self.last_line = now
            self.line(f"{state}  {duration(now - self.begin)}")

    def step(
        self, step: int, loss: float, speed: float, compile_seconds: float = 0.0, compile_steps: int = 0
    ) -> None:
        """Updates the progress.

        Args:
            step: optimizer steps taken.
            loss: mean training loss since the last call.
            speed: targets per second.
            compile_seconds: time of the steps so far that compiled; it does not count for the time left.
            compile_steps: number of these steps.
        """
        now = time.monotonic()
        left = self._left(now - compile_seconds, step, compile_steps)
        self.state = f"loss {loss:.4f}  {speed:,.0f} {self.unit}/s{left}"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, state=self.state, since=None)
        elif now - self.last_line >= PLAIN_LINE_SECONDS or step == self.total:
            self.last_line = now
            self.line(f"step {step}/{self.total}  {self.state}")

    def training(self) -> None:
        """Shows in the bar what the last step said, after compiling or an evaluation has ended."""
        if self.bar is not None:
            self.bar.update(self.task, state=self.state, since=None)

    def _left(self, now: float, step: int, compile_steps: int) -> str:
        """Returns the remaining time; nothing if all steps since the start have compiled."""
        if step == self.total:
            return "  0:00 left"
        taken = step - self.done - compile_steps
        if taken <= 0 or self.begin is None:
            return ""
        return f"  {duration(max(0.0, now - self.begin) / taken * (self.total - step))} left"

    def evaluation(self) -> EvaluationProgress:
        """Returns what shows the progress of an evaluation in the bar, or by lines."""
        if self.bar is None:
            return EvaluationProgress(self.line)
        bar = self.bar

        def show(text: str) -> None:
            bar.update(self.task, state=text, since=None)

        return EvaluationProgress(show, BAR_SECONDS)


class _StateColumn(ProgressColumn):
    """The state of the training, with the time since it began where that is known."""

    def render(self, task: Task) -> Text:
        """Returns the text of the column."""
        since = task.fields["since"]
        clock = "" if since is None else f"  {duration(time.monotonic() - since)}"
        return Text(f"{task.fields['state']}{clock}")


class EvaluationProgress:
    """Shows how far an evaluation is, now and then: it is called before each batch.

    Args:
        show: shows a line.
        seconds: lines come at most this often.
    """

    def __init__(self, show: Callable[[str], None], seconds: float = PLAIN_LINE_SECONDS) -> None:
        self.show, self.seconds = show, seconds
        self.last_line = time.monotonic()
        self.since = self.last_line, 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows a line if it is time for one.

        Args:
            what: is done ("evaluating", "predicting").
            done: batches before this one.
            total: number of batches.
        """
        now = time.monotonic()
        begin, first = self.since
        if done <= 1:  # the first batch is compiled
            begin, first = self.since = now, done
        if now - self.last_line < self.seconds:
            return
        self.last_line = now
        left = f"  {duration((now - begin) / (done - first) * (total - done))} left" if done > first else ""
        self.show(f"{what}: batch {done} of {total}{left}")


def print_line(text: str) -> None:
    """Prints a line when there is no display."""
    print(text)


def warn(text: str) -> None:
    """Prints a one-line warning to the error stream."""
    print_error_line(f"attnzoo: warning: {text}")


def note(text: str) -> None:
    """Prints a one-line note, which is less than a warning, to the error stream."""
    print_error_line(f"attnzoo: note: {text}")


def print_error_line(text: str) -> None:
    """Prints a line to the error stream; a terminal, which would break it inside a word, gets several."""
    if sys.stderr.isatty():
        text = wrapped(text, Console(stderr=True).width)
    print(text, file=sys.stderr, flush=True)


def wrapped(text: str, width: int) -> str:
    """Breaks a text between words where it is wider than a terminal.

    Longer words stay whole, so that they can be copied: a path is one.

    Examples:
        >>> print(wrapped("run      /home/someone/runs/digits is finished", 20))
        run
        /home/someone/runs/digits
        is finished
    """
    lines = [""]
    for word in re.findall(r"\s*\S+", text):
        if lines[-1] and cell_len(lines[-1] + word) > width:
            lines.append(word.lstrip())
        else:
            lines[-1] += word
    return "\n".join(lines)


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
    lines = [f"  {command:{width}}  {what}" for command, what in commands]
    if sys.stdout.isatty() and max(map(len, lines), default=0) > shutil.get_terminal_size().columns:
        lines = [part for command, what in commands for part in (f"  {command}", f"      {what}")]
    return "\n".join(["next:", *lines])
