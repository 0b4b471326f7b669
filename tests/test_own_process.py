"""Tests in processes of their own report what they would have reported here."""

import os
import subprocess
import sys

import pytest

from tests import own_process
from tests.conftest import ROOT

TESTS = """
import os
import pytest

@pytest.fixture(scope="module")
def shared():
    return 1

def test_before(shared):
    pass

@pytest.mark.own_process
def test_that_passes(tmp_path):
    assert os.getppid() != int(os.environ["PARENT"])

@pytest.mark.own_process
def test_that_fails():
    assert 2 + 2 == 5

@pytest.mark.own_process
def test_that_is_skipped():
    pytest.skip("for a reason")

@pytest.mark.own_process
def test_that_dies():
    os.abort()

@pytest.fixture
def broken():
    yield
    raise ValueError("at its end")

@pytest.mark.own_process
def test_whose_fixture_fails(broken):
    pass
"""


@pytest.mark.slow
def test_each_report_is_that_of_the_other_process(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = own_process")
    (tmp_path / "conftest.py").write_text("from tests.own_process import *")
    (tmp_path / "test_five.py").write_text(TESTS)
    (tmp_path / "test_here.py").write_text("def test_after(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", f"--rootdir={tmp_path}", tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PARENT": str(os.getpid())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 failed, 4 passed, 1 skipped, 1 error" in done.stdout, done.stdout
    assert "assert (2 + 2) == 5" in done.stdout
    assert "for a reason" in done.stdout
    assert "Fatal Python error: Aborted" in done.stdout
    assert "ValueError: at its end" in done.stdout


def test_a_process_with_few_mappings_is_not_crowded(monkeypatch):
    monkeypatch.setattr(own_process, "SHARE", 1.0)
    assert not own_process.is_crowded()
    monkeypatch.setattr(own_process, "SHARE", 0.0)
    assert own_process.is_crowded() == os.path.exists("/proc/self/maps")
