"""What every command sets before TensorFlow is there."""

import os
import subprocess
import sys

import pytest

from tests import recipes

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
    # With oneDNN, TensorFlow keeps memory by itself, and the processor decides whether oneDNN is on. What
    # commands that ran in this process have set is left out.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_CPU_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**inherited, "TF_ENABLE_ONEDNN_OPTS": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_nothing_is_written_where_nothing_is_wrong():
    code = "from attnzoo.startup import import_tensorflow; import_tensorflow()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"},  # TensorFlow tells of it
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_memory_of_one_step_serves_the_next():
    pages = STEPS * MEBIBYTES * (1 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert _faults() < pages / 100


@pytest.mark.slow
def test_what_somebody_has_set_stays():
    pages = STEPS * MEBIBYTES * (1 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert _faults(TF_CPU_ALLOCATOR_USE_BFC="0", GLIBC_TUNABLES="glibc.malloc.hugetlb=0") > pages / 2


@pytest.mark.slow
def test_too_little_memory_is_reported_in_one_line(tmp_path):
    recipes.text_config(tmp_path)
    command = [sys.executable, "-m", "attnzoo", "train", "greetings.yaml"]
    for value in ("model.ngrams=2", "model.ngram_buckets=65536", "model.units=512"):  # 128 MiB
        command += ["--set", value]
    environment = {**os.environ, "TF_CPU_BFC_MEM_LIMIT_IN_MB": "100"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("attnzoo: error: out of memory; use smaller batches")
    assert "Traceback" not in done.stderr


SETTINGS = """
from attnzoo.startup import import_tensorflow
import_tensorflow()
from keras import backend, config
print(backend.backend(), config.floatx(), config.image_data_format(), config.epsilon())
"""


def test_what_somebody_has_set_for_keras_neither_breaks_nor_changes_a_run(tmp_path):
    other = '{"floatx": "float16", "epsilon": 0.1, "backend": "torch", "image_data_format": "channels_first"}'
    (tmp_path / "keras.json").write_text(other)
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS],
        env={**os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["tensorflow", "float32", "channels_last", "1e-07"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("attnzoo: warning: KERAS_BACKEND=jax and floatx float16 in ")
    assert line.endswith("ignored, because attnzoo runs on TensorFlow in float32 with channels last.")
