"""What the system says of memory."""

import resource
import subprocess
import sys

import pytest

from attnzoo.free_memory import free_memory

MEMINFO = "MemTotal: 900 kB\nMemAvailable:   700 kB\nSwapFree: 11 kB\n"


def _write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@pytest.fixture
def root(tmp_path):
    _write(tmp_path, proc__meminfo=MEMINFO)
    return tmp_path


def test_swap_counts_as_free(root):
    assert free_memory(root) == (711 * 1024, "this machine")


def test_the_tightest_group_above_a_process_bounds_it_and_files_in_memory_do_not_count(root):
    group = root / "sys/fs/cgroup"
    _write(root, proc__self__cgroup="0::/job/step\n")
    for path, limit in ((group / "job", "500000"), (group / "job/step", "max")):
        path.mkdir(parents=True, exist_ok=True)
        (path / "memory.max").write_text(limit)
        (path / "memory.current").write_text("300000")
        (path / "memory.stat").write_text("anon 1\ninactive_file 70000\n")
    assert free_memory(root) == (270000, "the control group (container or job)")


def test_a_container_of_version_1_is_found_at_the_top(root):
    group = root / "sys/fs/cgroup/memory"
    _write(root, proc__self__cgroup="9:cpu:/\n4:memory:/docker/5a\n")
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("500000")
    (group / "memory.usage_in_bytes").write_text("600000")
    assert free_memory(root) == (0, "the control group (container or job)")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such limit")
def test_a_limit_of_the_address_space_bounds_it():
    code = "from attnzoo.free_memory import free_memory; print(*free_memory(), sep=',')"

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (900 << 20, 900 << 20))

    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, check=True
    )
    free, source = done.stdout.strip().split(",")
    assert 0 < int(free) < 900 << 20
    assert source == "the address space (ulimit -v)"
