"""A command in a process of its own, so that whoever asked for it hears how it ended.

TensorFlow does not look at what some of its allocations gave (the convolutions of oneDNN are among them), and
Linux ends a process that takes too much memory: both end in a signal that the process itself cannot answer.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading

from attnzoo.errors import EXIT_CRASHED, UserError
from attnzoo.free_memory import allocator_limit, free_memory

OUT_OF_MEMORY = (
    "out of memory; smaller batches (train.batch_size or train.batch_tokens, eval.batch_size), smaller "
    "images (data.image_size), shorter texts (data.max_length) or a smaller model take less."
)
SHORT = 0.5
"""Fraction of the memory that there is, from which on a crash is blamed on the lack of it."""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGKILL)
_WATCHED = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1


def go_on_in_child() -> None:
    """Returns in a child process; this one waits for it, ends as it does, and says where it crashed.

    Signals that ask for a stop are passed on, and a child never outlives its parent. On systems other than
    Linux and where there are threads already it returns in the process itself.

    Raises:
        UserError: in the parent: the child crashed, or was killed as by Linux where memory runs out.
        SystemExit: in the parent: with the exit code of the child.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored nobody can be waited for
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
    else:
        code, peak = _wait(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if child:
        _end_like(code, peak)


def _wait(child: int) -> tuple[int, int]:
    """Waits for the child; returns its exit code, or minus its signal, and the most memory that it had."""
    assert sys.platform == "linux"
    while True:
        received = signal.sigwaitinfo(_WATCHED)
        if received.si_signo != signal.SIGCHLD:
            if received.si_code <= 0:  # A terminal sends its signals to all its processes by itself.
                os.kill(child, received.si_signo)
            continue
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024


def _end_like(code: int, peak: int) -> None:
    if code >= 0:
        sys.exit(code)
    number = signal.Signals(-code)
    if number not in _CRASHES:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar has hidden the cursor
    said = f"ended by {number.name} with {peak >> 20:,} MiB in use"
    if number == signal.SIGKILL or _is_short(peak):
        raise UserError(f"{said}, most likely {OUT_OF_MEMORY}")
    raise UserError(
        f"{said}: a library crashed; run it again with PYTHONFAULTHANDLER=1 to see where, and report that. "
        "`attnzoo train` goes on from its last checkpoint.",
        EXIT_CRASHED,
    )


def _is_short(peak: int) -> bool:
    """Whether there was little memory beside what a process had at most, or a limit on it."""
    if allocator_limit() is not None or resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return True
    return peak > SHORT * (peak + free_memory()[0])
