"""Commands in processes of their own that start in a moment: forks of one that has imported TensorFlow."""

import multiprocessing
import os
import sys

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["attnzoo.training.run", "attnzoo.cli"])


def _call(arguments: list[str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["attnzoo", *arguments]
    from attnzoo import cli

    cli.main()


def start(arguments: list[str], log) -> multiprocessing.process.BaseProcess:
    """Starts `attnzoo ARGUMENTS`; what it prints is added to the file `log`."""
    process = _SERVER.Process(target=_call, args=([str(argument) for argument in arguments], str(log)))
    process.start()
    return process
