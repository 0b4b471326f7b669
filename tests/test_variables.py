import hashlib
import json
import os
import resource
import struct
import sys
import types

import numpy as np
import pytest

from attnzoo.errors import UserError
from attnzoo.files import remove_leftovers
from attnzoo.runs.folder import RunDir
from attnzoo.training import checkpoint
from attnzoo.variables import assign, by_name, read_tensors, read_values, size_limit, write_tensors

LIMIT = 1 << 20


class Variable:
    def __init__(self, path, value):
        self.path, self.value = path, np.asarray(value)

    @property
    def shape(self):
        return self.value.shape

    @property
    def dtype(self):
        return self.value.dtype.name

    def assign(self, value):
        self.value = value

    def numpy(self):
        return self.value


def test_tensors_come_back_bit_by_bit(tmp_path):
    tensors = {"a": np.float32(3.5), "b": np.arange(11, dtype=np.int64), "c": np.ones((2, 3), np.float16)}
    write_tensors(tmp_path / "folder", tensors, {"step": 7})
    found, state = read_tensors(tmp_path / "folder", LIMIT)
    assert state == {"step": 7}
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_every_changed_byte_is_noticed(tmp_path, name):
    write_tensors(tmp_path / "folder", {"a": np.arange(3.0)}, {"step": 7})
    path = tmp_path / "folder" / name
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 23)):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        path.write_bytes(bytes(damaged))
        if name == "manifest.json" and bytes(damaged).split() == whole.split():
            continue
        with pytest.raises(UserError, match="damaged") as caught:
            read_tensors(tmp_path / "folder", LIMIT)
        assert caught.value.exit_code == 4


def test_a_missing_file_is_noticed(tmp_path):
    write_tensors(tmp_path / "folder", {"a": np.arange(3.0)}, {})
    (tmp_path / "folder" / "state.json").unlink()
    with pytest.raises(UserError, match="damaged or incomplete"):
        read_tensors(tmp_path / "folder", LIMIT)


def test_an_old_folder_is_replaced_and_nothing_temporary_stays(tmp_path):
    for step in (1, 2):
        write_tensors(tmp_path / "folder", {"a": np.arange(3.0) * step}, {"step": step})
    assert read_tensors(tmp_path / "folder", LIMIT)[1] == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written \(0\.0 MiB needed\): Not a directory") as caught:
        write_tensors(tmp_path / "file" / "folder", {"a": np.arange(3.0)}, {})
    assert caught.value.exit_code == 4


def test_variables_that_do_not_fit_are_named_and_none_is_changed(tmp_path):
    variables = [Variable("dense/kernel", np.zeros((2, 3))), Variable("dense/bias", np.zeros(3))]
    named = by_name(variables, "model")
    values = read_values(named)
    values["model/dense/bias"] = np.ones(5)
    values["model/extra"] = np.ones(1)
    del values["model/dense/kernel"]
    with pytest.raises(UserError) as caught:
        assign(named, values, tmp_path)
    for part in ("missing 'model/dense/kernel'", "unexpected 'model/extra'", "has shape (5,), expected (3,)"):
        assert part in str(caught.value)
    assert variables[1].value.sum() == 0


def test_two_variables_of_one_name_are_refused():
    with pytest.raises(ValueError, match="Two variables are named 'model/a'"):
        by_name([Variable("a", 1.0), Variable("a", 2.0)], "model")


def in_a_child_that_dies(work, boundary):
    """Runs `work` in a fork that ends, as by `kill -9`, at a change of the disk; says whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    changes = []

    def count(event, arguments):
        writes = event == "open" and isinstance(arguments[1], str) and arguments[1] != "r"
        if writes or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "fsync"):
            changes.append(event)
            if len(changes) > boundary:
                os._exit(9)

    synchronize = os.fsync

    def fsync(descriptor):
        count("fsync", ())
        synchronize(descriptor)

    os.fsync = fsync
    sys.addaudithook(count)
    try:
        work()
    finally:
        os._exit(0)


@pytest.mark.parametrize("again", [False, True], ids=["new step", "same step"])
def test_a2_a_crash_at_any_change_of_the_disk_leaves_a_whole_checkpoint(tmp_path, again):
    boundary = died = 0
    while True:
        run = RunDir(tmp_path / str(boundary))
        run.checkpoints.mkdir(parents=True)
        old = {"model/a": np.full(1000, 1.0)}
        for step in (1, 2):
            checkpoint.write_step(run, old, checkpoint.Progress(step=step))
        step = 2 if again else 3
        new = {"model/a": np.full(1000, 2.0)}
        progress = checkpoint.Progress(step=step, recoveries=1)
        died = in_a_child_that_dies(lambda: checkpoint.write_step(run, new, progress), boundary)  # noqa: B023
        remove_leftovers(run.checkpoints)
        values, state = read_tensors(run.step(run.steps()[-1]), LIMIT)
        is_new = state["recoveries"] == 1
        np.testing.assert_array_equal(values["model/a"], (new if is_new else old)["model/a"])
        checkpoint.write_step(run, new, checkpoint.Progress(step=4))
        assert not [path.name for path in run.checkpoints.iterdir() if path.name.startswith(".")]
        assert len(run.steps()) == checkpoint.MAX_CHECKPOINTS
        if not died:
            break
        boundary += 1
    assert boundary > 10


def hostile(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "tensors",
    [
        b"",
        b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        struct.pack("<Q", 2**63) + b"{}",
        hostile(b"{" * 100_000),
        hostile({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}}, bytes(8)),
        hostile({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 8]}}, bytes(8)),
        hostile({"a": {"dtype": "PICKLE", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        hostile({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}, bytes(8)),
    ],
    ids=["empty", "pickle", "header of 8 EiB", "nested", "beyond the end", "huge", "type", "overlapping"],
)
def test_d1_a_hostile_file_with_a_fitting_checksum_is_one_error(tmp_path, tensors):
    write_tensors(tmp_path / "folder", {"a": np.arange(3.0)}, {})
    (tmp_path / "folder" / "tensors.safetensors").write_bytes(tensors)
    manifest = json.loads((tmp_path / "folder" / "manifest.json").read_text())
    manifest["tensors.safetensors"] = hashlib.sha256(tensors).hexdigest()
    (tmp_path / "folder" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="damaged or incomplete") as caught:
        read_tensors(tmp_path / "folder", LIMIT)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_d4_a_file_larger_than_its_variables_is_not_read(tmp_path):
    write_tensors(tmp_path / "folder", {"a": np.arange(3.0)}, {})
    limit = size_limit([types.SimpleNamespace(shape=(3,), dtype="float64")])
    read_tensors(tmp_path / "folder", limit)
    with (tmp_path / "folder" / "tensors.safetensors").open("r+b") as file:
        file.truncate(1 << 40)  # a hole: takes no disk
    with pytest.raises(UserError, match=r"tensors.safetensors has 1,048,576.0 MiB, more than 1.0 MiB"):
        read_tensors(tmp_path / "folder", limit)


def test_d1_what_is_not_a_file_is_not_read(tmp_path):
    write_tensors(tmp_path / "folder", {"a": np.arange(3.0)}, {})
    (tmp_path / "folder" / "state.json").unlink()
    os.mkfifo(tmp_path / "folder" / "state.json")
    with pytest.raises(UserError, match=r"state.json is not a file"):
        read_tensors(tmp_path / "folder", LIMIT)


def test_a10_a_disk_that_takes_no_more_leaves_the_checkpoint_before(tmp_path):
    run = RunDir(tmp_path)
    run.checkpoints.mkdir()
    small, large = {"model/a": np.full(1000, 1.0)}, {"model/a": np.full(100_000, 2.0)}
    checkpoint.write_step(run, small, checkpoint.Progress(step=1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"\(0\.8 MiB needed\): File too large") as caught:
            checkpoint.write_step(run, large, checkpoint.Progress(step=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 4
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000001"]
    np.testing.assert_array_equal(read_tensors(run.step(1), LIMIT)[0]["model/a"], small["model/a"])
