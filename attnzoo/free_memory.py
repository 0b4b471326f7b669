"""How much more memory this process can use, and what limits it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from attnzoo.startup import ALLOCATOR_LIMIT, memory_bytes

_ROOT = Path("/")


def free_memory(root: Path = _ROOT) -> tuple[int, str]:
    """Returns the number of bytes that this process can still use, and what limits it.

    This is the minimum of the free memory of the machine (including swap), of the control group of a
    container or job, and of the address space. If the system provides none of these (macOS), it is the total
    memory of the machine.

    Args:
        root: folder that contains `proc` and `sys`.
    """
    limits = [*_machine_limits(root), *_control_group_limits(root), *_address_space_limits(root)]
    return min(limits, default=(memory_bytes(), "this machine"))


def allocator_limit() -> int | None:
    """Returns the limit of TensorFlow's memory in bytes, or None if `startup` has set it to all memory."""
    limit = os.environ.get(ALLOCATOR_LIMIT, "")
    return int(limit) << 20 if limit.isdigit() and int(limit) < memory_bytes() >> 20 else None


def _machine_limits(root: Path) -> Iterator[tuple[int, str]]:
    lines = (line.split() for line in _read(root / "proc/meminfo").splitlines())
    kibibytes = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
    if "MemAvailable" in kibibytes:
        yield (kibibytes["MemAvailable"] + kibibytes.get("SwapFree", 0)) * 1024, "this machine"


def _control_group_limits(root: Path) -> Iterator[tuple[int, str]]:
    """Yields the free memory of each control group of this process, including parent groups.

    Inside a container the path of a group can be that of the host: missing folders are skipped, and the top
    folder is the group of the container.
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


def _address_space_limits(root: Path) -> Iterator[tuple[int, str]]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(root / "proc/self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield max(0, limit - int(pages[0]) * resource.getpagesize()), "the address space (ulimit -v)"


def _number(path: Path) -> int | None:
    """Returns the number in a file, or None if there is none, such as for no limit ("max")."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
