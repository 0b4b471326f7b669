"""Runs a command in a child process, so that a crash of it is reported.

Some of TensorFlow's allocations (those of oneDNN's convolutions among them) are not checked for failure, and
Linux kills a process that takes too much memory. Both end in a signal that the process cannot handle itself.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import threading

from attnzoo.errors import EXIT_CRASHED, UserError
from attnzoo.free_memory import allocator_limit, free_memory

_SMALLER = (
    "use smaller batches (train.batch_size or train.batch_tokens, eval.batch_size), smaller images "
    "(data.image_size), shorter texts (data.max_length) or a smaller model"
)
OUT_OF_MEMORY = f"out of memory; {_SMALLER}."
OUT_OF_GPU_MEMORY = (
    f"out of GPU memory; end other programs that use it (nvidia-smi lists them), or {_SMALLER}, or "
    "train.precision: mixed_bfloat16, or train.steps_per_call: 1."
)
_FULL_GPU = re.compile(r"CUDA_ERROR_OUT_OF_MEMORY|CU(BLAS|DNN|SOLVER)_STATUS_ALLOC_FAILED")
"""What errors of a full GPU say that TensorFlow does not report as `ResourceExhaustedError`."""
_OF_CPU = re.compile(r"device:CPU|allocator .*cpu")
"""What errors of full memory say if it is that of the machine; XLA's do not say which."""
SHORTAGE = 0.5
"""A crash above this fraction of the available memory is attributed to a lack of it."""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGKILL)
_SIGNALS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1


def continue_in_child() -> None:
    """Returns in a child process; the parent waits for it, exits as it does, and reports its crash.

    Requests to stop are forwarded, and a child never outlives its parent. On systems other than Linux, and
    where there are threads already, it returns in the calling process.

    Raises:
        UserError: in the parent: the child crashed, or was killed as by Linux where memory runs out.
        SystemExit: in the parent: with the exit code of the child.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # while it is ignored, children cannot be waited for
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
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
        _exit_like(code, peak)


def memory_problem(error: Exception) -> str | None:
    """Returns what to do about an error, if it says that memory ran out; otherwise None."""
    text = str(error)
    # By name, as TensorFlow may not be imported; "failed to map segment": no memory to load a library.
    is_full = isinstance(error, MemoryError) or "failed to map segment" in text
    is_exhausted = type(error).__name__ == "ResourceExhaustedError"
    if _FULL_GPU.search(text) or (is_exhausted and _sees_gpu() and not _OF_CPU.search(text)):
        return OUT_OF_GPU_MEMORY
    return OUT_OF_MEMORY if is_full or is_exhausted else None


def determinism_problem(error: Exception) -> str | None:
    """Returns what to do about an operation that `train.deterministic` excludes in training; else None."""
    reason = str(error).partition("\n")[0]
    if type(error).__name__ != "UnimplementedError" or "determinis" not in reason.lower():
        return None
    return f"train.deterministic: {reason.rstrip('.')}; set train.xla to true, or this option to false."


def _sees_gpu() -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and bool(tensorflow.config.list_physical_devices("GPU"))


def _wait(child: int) -> tuple[int, int]:
    """Waits for the child; returns its exit code, or minus its signal, and its peak memory in bytes."""
    assert sys.platform == "linux"
    while True:
        received = signal.sigwaitinfo(_SIGNALS)
        if received.si_signo != signal.SIGCHLD:
            if received.si_code <= 0:  # Signals of a terminal reach all its processes anyway.
                os.kill(child, received.si_signo)
            continue
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024


def _exit_like(code: int, peak: int) -> None:
    if code >= 0:
        sys.exit(code)
    number = signal.Signals(-code)
    if number not in _CRASHES:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar has hidden the cursor
    ended = f"ended by {number.name} with {peak >> 20:,} MiB in use"
    if number == signal.SIGKILL or _is_memory_short(peak):
        raise UserError(f"{ended}, most likely {OUT_OF_MEMORY}")
    raise UserError(
        f"{ended}: a library crashed; run it again with PYTHONFAULTHANDLER=1 to see where, and report that. "
        "`attnzoo train` resumes from its last checkpoint.",
        EXIT_CRASHED,
    )


def _is_memory_short(peak: int) -> bool:
    """Whether little memory was left beside the peak of a process, or its memory is limited."""
    if allocator_limit() is not None or resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return True
    return peak > SHORTAGE * (peak + free_memory()[0])
