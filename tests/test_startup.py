"""What every command sets before TensorFlow is there."""

import os
import subprocess
import sys

import pytest

STEPS = 50
MEBIBYTES = 32
FAULTS = f"""
import resource
from attnzoo.startup import import_tensorflow
import_tensorflow()
import tensorflow as tf
values = tf.zeros([{MEBIBYTES} << 18])
def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        tf.reduce_sum(values + 1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3)
print(faults({STEPS}))
"""


def _faults(**environment: str) -> int:
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_memory_of_one_step_serves_the_next():
    pages = STEPS * MEBIBYTES * (1 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert _faults() < pages / 100


@pytest.mark.slow
def test_what_somebody_has_set_stays():
    pages = STEPS * MEBIBYTES * (1 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert _faults(TF_CPU_ALLOCATOR_USE_BFC="0", GLIBC_TUNABLES="glibc.malloc.hugetlb=0") > pages / 2
