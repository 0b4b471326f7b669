"""Commands in processes of their own that start in a moment: forks of one that has imported TensorFlow.

What differs from a command typed into a shell: environment variables that libraries read while they are
imported have no effect.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from attnzoo import catalog
from tests import hostile_watch

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "tests.quick",
        *("attnzoo.cli", "attnzoo.training.run", "attnzoo.evaluation", "attnzoo.export"),
        *(
            f"attnzoo.{package}.{name}"
            for kind, package in (("models", "models"), ("datasets", "data.datasets"), ("tasks", "tasks"))
            for name in catalog.names(kind)
        ),
    ]
)
NO_ENVIRONMENT: Mapping[str, str] = {}
_USED_FILE = "TEST_USED_FILE"
STANDARD_INPUT = "TEST_STANDARD_INPUT"
"""Variable of the environment with the file that is the standard input of a command."""


class Ended(NamedTuple):
    """A command that has ended.

    Attributes:
        code: exit code; -9 and the like for the signal that ended it.
        out: what it wrote to its standard output.
        err: what it wrote to its error stream.
        seconds: of processor time since the fork, summed over its threads and the processes it waited for: a
            machine that is busy with something else does not make it longer. 0 if a signal ended it.
        peak_bytes: the most resident memory that it or a process it waited for had, the part included that it
            shares with the others (TensorFlow itself: what a command that does nothing reports). 0 if a
            signal ended it.
    """

    code: int
    out: str
    err: str
    seconds: float
    peak_bytes: int


def start(
    *arguments: str | Path,
    folder: Path,
    out: Path,
    err: Path | None = None,
    environment: Mapping[str, str] = NO_ENVIRONMENT,
) -> BaseProcess:
    """Starts `attnzoo ARGUMENTS`.

    Args:
        arguments: of the command line.
        folder: working directory.
        out: file to which what it prints is added.
        err: file for its errors; None for the same.
        environment: variables to add; `hostile_watch.REPORT` among them installs the watch.
    """
    texts = [str(argument) for argument in arguments]
    process = _FORKS.Process(
        target=_be_the_command, args=(texts, str(folder), str(out), str(err or out), dict(environment))
    )
    process.start()
    return process


def run(
    *arguments: str | Path,
    folder: Path,
    limit_seconds: float = 60,
    environment: Mapping[str, str] = NO_ENVIRONMENT,
) -> Ended:
    """Runs `attnzoo ARGUMENTS` and waits for its end; it and what it started are killed after the limit."""
    with tempfile.TemporaryDirectory() as written:
        out, err, used = (Path(written) / name for name in ("out", "err", "used"))
        process = start(
            *arguments, folder=folder, out=out, err=err, environment={**environment, _USED_FILE: str(used)}
        )
        process.join(limit_seconds)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        texts = [path.read_bytes().decode("utf-8", "replace") for path in (out, err)]
        seconds, peak_bytes = json.loads(used.read_text()) if used.exists() else (0.0, 0)
    return Ended(process.exitcode, *texts, seconds, peak_bytes)


def _be_the_command(
    arguments: list[str], folder: str, out: str, err: str, environment: dict[str, str]
) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as a shell starts a command
    for number, path in ((1, out), (2, err)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.update(environment)
    if STANDARD_INPUT in environment:
        sys.stdin = open(environment[STANDARD_INPUT])  # noqa: SIM115 - until the process ends
    sys.argv = ["attnzoo", *arguments]
    from attnzoo import cli

    if hostile_watch.REPORT in environment:
        hostile_watch.install()
    try:
        cli.main()
    finally:
        sys.stdout.flush()
        if _USED_FILE in environment:
            used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            seconds = sum(one.ru_utime + one.ru_stime for one in used)
            peak_bytes = max(one.ru_maxrss for one in used) * 1024
            Path(environment[_USED_FILE]).write_text(json.dumps([seconds, peak_bytes]))
