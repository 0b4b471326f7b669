"""Runs tests in processes of their own: those marked `own_process`, and all where this process is crowded.

XLA keeps what it has compiled until the process ends, whatever becomes of the function: some 35 mappings of
memory for a small program. Of these Linux allows a process 65,530; then no thread can start any more, and
TensorFlow aborts.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SHARE = 0.5  # of the mappings; the other half is enough for every test (the largest takes 30,000)
_REPORTS = "TEST_REPORTS_FILE"
_WAITED_FOR = os.environ.pop(_REPORTS, None)  # it is not for the processes that a test starts


def is_crowded() -> bool:
    """Whether this process has more than `SHARE` of the mappings that it may have."""
    try:
        allowed = int(Path("/proc/sys/vm/max_map_count").read_text())
        taken = Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:  # no Linux
        return False
    return taken > SHARE * allowed


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Takes the place of pytest's own for tests that have to leave this process."""
    if _WAITED_FOR or not (item.get_closest_marker("own_process") or is_crowded()):
        return None
    place = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**place)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    # The test before left what this one would have shared with it; here that ends with this test.
    item.session._setupstate.teardown_exact(nextitem)
    item.ihook.pytest_runtest_logfinish(**place)
    return True


def _reports(item):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "reports")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers"]
        done = subprocess.run(
            [*command, f"--basetemp={folder}/base", item.nodeid],
            cwd=item.config.rootpath,
            env={**os.environ, _REPORTS: str(file)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        hook, config = item.config.hook, item.config
        reports = [hook.pytest_report_from_serializable(config=config, data=data) for data in _read(file)]
    if not reports or reports[-1].when != "teardown":
        said = f"its own process ended with {done.returncode}:\n{done.stdout}"
        reports.append(pytest.TestReport(item.nodeid, item.location, {}, "failed", said, "call"))
    return reports


def _read(file):
    with contextlib.suppress(FileNotFoundError, EOFError), file.open("rb") as opened:
        while True:
            yield pickle.load(opened)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Notes the report for the process that waits for this one."""
    report = yield
    if _WAITED_FOR:
        data = item.config.hook.pytest_report_to_serializable(config=item.config, report=report)
        with Path(_WAITED_FOR).open("ab") as file:
            pickle.dump(data, file)
    return report
