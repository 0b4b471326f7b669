"""Commands whose process is ended from outside, or by a crash."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commands are supervised on Linux alone")

COMMAND = """
import os, signal, sys, time
from attnzoo.cli.supervision import continue_in_child
from attnzoo.errors import UserError
def stop(number, frame):
    os._exit(75)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
{before}
try:
    continue_in_child()
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
print(os.getpid(), flush=True)
{body}
"""


def _start(body, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(body=body, before=before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGKILL"])
def test_a_crash_is_one_line_with_the_memory_that_was_in_use(name):
    limit = "os.environ['TF_CPU_BFC_MEM_LIMIT_IN_MB'] = '1'"
    process = _start(f"os.kill(os.getpid(), signal.{name})", before=limit)
    _, written = process.communicate()
    assert process.returncode == 2
    (line,) = written.splitlines()
    assert line.startswith(f"ended by {name} with ")
    assert "MiB in use, most likely out of memory; use smaller batches" in line


def test_a_crash_where_memory_is_left_is_no_lack_of_it():
    # What a process sets that has imported TensorFlow is no limit.
    usual = "from attnzoo.startup import memory_bytes\n"
    usual += "os.environ['TF_CPU_BFC_MEM_LIMIT_IN_MB'] = str(memory_bytes() >> 20)"
    _, written = (process := _start("os.abort()", before=usual)).communicate()
    (line,) = written.splitlines()
    assert (process.returncode, line.startswith("ended by SIGABRT with ")) == (1, True)
    assert "MiB in use: a library crashed; run it again with PYTHONFAULTHANDLER=1 to see where" in line


def test_exit_codes_and_other_signals_stay_as_they_are():
    for body, code in (
        ("sys.exit(3)", 3),
        ("", 0),
        ("os.kill(os.getpid(), signal.SIGUSR1)", -signal.SIGUSR1),
    ):
        _, written = (process := _start(body)).communicate()
        assert (process.returncode, written) == (code, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_reaches_the_command(number):
    process = _start("time.sleep(60)")
    process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 75


def test_a_command_does_not_outlive_what_started_it():
    process = _start("time.sleep(60)")
    child = int(process.stdout.readline())
    assert child != process.pid
    process.kill()
    process.communicate(timeout=30)  # its output ends when nobody has it open any more
    end = time.monotonic() + 30
    while Path(f"/proc/{child}/stat").exists() and _state(child) != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
