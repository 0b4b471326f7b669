"""The memory that is available to this process, and what limits it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from attnzoo.startup import ALLOCATOR_LIMIT, memory_bytes

_ROOT = Path("/")


def free_memory(root: Path = _ROOT) -> tuple[int, str]:
    """Returns the bytes that this process can still allocate, and what limits them.

    It is the minimum of the free memory of the machine (including swap), of the control groups of a container
    or job, and of the address space limit. Without such information (macOS) it is the total memory of the
    machine.

    Args:
        root: folder with `proc` and `sys`.
    """
    limits = [*_free_in_machine(root), *_free_in_control_groups(root), *_free_address_space(root)]
    return min(limits, default=(memory_bytes(), "this machine"))


def allocator_limit() -> int | None:
    """Returns the user's limit on TensorFlow's memory in bytes; None for the one that `startup` sets."""
    limit = os.environ.get(ALLOCATOR_LIMIT, "")
    return int(limit) << 20 if limit.isdigit() and int(limit) < memory_bytes() >> 20 else None


def _free_in_machine(root: Path) -> Iterator[tuple[int, str]]:
    lines = (line.split() for line in _read(root / "proc/meminfo").splitlines())
    kibibytes = {fields[0].rstrip(":"): int(fields[1]) for fields in lines if len(fields) > 1}
    if "MemAvailable" in kibibytes:
        yield (kibibytes["MemAvailable"] + kibibytes.get("SwapFree", 0)) * 1024, "this machine"


def _free_in_control_groups(root: Path) -> Iterator[tuple[int, str]]:
    """Yields the free memory of each control group of this process, and of the groups that contain it.

    In a container the path of a group can be that on the host; folders that do not exist are skipped, and the
    topmost one is that of the container.
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
                statistics = (entry.split() for entry in _read(folder / "memory.stat").splitlines())
                cached = sum(int(value) for name, value in statistics if name == names[2])
                yield max(0, limit - used + cached), "the control group (container or job)"
            if folder == top:
                break


def _free_address_space(root: Path) -> Iterator[tuple[int, str]]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(root / "proc/self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield max(0, limit - int(pages[0]) * resource.getpagesize()), "the address space (ulimit -v)"


def _number(path: Path) -> int | None:
    """Returns the number in a file; None if it has none, such as "max" for no limit."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
