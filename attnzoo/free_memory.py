"""How much memory this process may still take, and who says so."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from attnzoo.startup import ALLOCATOR_LIMIT, memory_bytes

_ROOT = Path("/")


def free_memory(root: Path = _ROOT) -> tuple[int, str]:
    """Returns the bytes that this process can still take, and what sets the bound.

    The least of what the machine has free (swap included), what the control group of a container or a job
    leaves, and what a limit of the address space leaves. Where the system tells nothing of it (macOS), all
    memory of the machine.

    Args:
        root: folder with `proc` and `sys`.
    """
    found = [*_of_machine(root), *_of_control_groups(root), *_of_address_space(root)]
    return min(found, default=(memory_bytes(), "this machine"))


def allocator_limit() -> int | None:
    """Returns the bytes that somebody allows TensorFlow; None for all there is, as `startup` sets it."""
    limit = os.environ.get(ALLOCATOR_LIMIT, "")
    return int(limit) << 20 if limit.isdigit() and int(limit) < memory_bytes() >> 20 else None


def _of_machine(root: Path) -> Iterator[tuple[int, str]]:
    lines = (line.split() for line in _read(root / "proc/meminfo").splitlines())
    kibibytes = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
    if "MemAvailable" in kibibytes:
        yield (kibibytes["MemAvailable"] + kibibytes.get("SwapFree", 0)) * 1024, "this machine"


def _of_control_groups(root: Path) -> Iterator[tuple[int, str]]:
    """Yields what each group leaves that this process is in; those above it bound it too.

    Within a container the path of a group can be that of the host: what is not there is passed over, and the
    top is the container's.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is not None and used is not None:
                words = (entry.split() for entry in _read(folder / "memory.stat").splitlines())
                cached = sum(int(value) for name, value in words if name == names[2])
                yield max(0, limit - used + cached), "the control group (container or job)"
            if folder == top:
                break


def _of_address_space(root: Path) -> Iterator[tuple[int, str]]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(root / "proc/self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield max(0, limit - int(pages[0]) * resource.getpagesize()), "the address space (ulimit -v)"


def _number(path: Path) -> int | None:
    """Returns the number that a file holds; None without one, as where there is no limit ("max")."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
