"""An export appears whole or not at all, and one process writes it at a time."""

import fcntl
import shutil

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import export as exporting
from attnzoo.errors import EXIT_DAMAGED, UserError
from tests import commands
from tests.trees import tree


@pytest.fixture(scope="module")
def first_export(runs, tmp_path_factory):
    """An export into a folder where a killed one has left something."""
    folder = tmp_path_factory.mktemp("exports")
    for left in (".served.tmp", ".served.old"):
        (folder / left).mkdir()
        (folder / left / "saved_model.pb").write_bytes(b"half")
    return exporting.export(runs["text"], folder / "served")


@pytest.fixture
def exported(first_export, tmp_path):
    """An export that is there already."""
    shutil.copytree(first_export.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "served"


def refuse_operations(folder):
    assert (folder / "saved_model.pb").is_file()
    raise UserError(f"{folder}: operations that are not allowed in an export: X.", EXIT_DAMAGED)


def fill_the_disk(folder, *_):
    (folder / "half").write_text("written")
    raise OSError(28, "No space left on device")


def fail_in_tensorflow(folder, *_):
    raise tf.errors.ResourceExhaustedError(None, None, f"{folder}: No space left on device")


@pytest.mark.parametrize(
    ("place", "fail", "message"),
    [
        (
            (exporting, "require_allowed_operations"),
            refuse_operations,
            "operations that are not allowed in an export",
        ),
        ((exporting, "_verify"), fill_the_disk, "served: cannot be written: No space left on device"),
        ((exporting, "_describe"), fail_in_tensorflow, "served: cannot be written: .*No space left on dev"),
    ],
    ids=["refused", "disk-full", "disk-full-in-tensorflow"],
)
def test_an_export_that_fails_in_the_middle_leaves_the_one_before(
    runs, exported, tmp_path, monkeypatch, place, fail, message
):
    before = tree(tmp_path)
    monkeypatch.setattr(*place, fail)
    with pytest.raises(UserError, match=message) as caught:
        exporting.export(runs["text"], exported)
    assert caught.value.exit_code == EXIT_DAMAGED
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    answer = tf.saved_model.load(str(exported)).signatures["serving_default"](tf.constant(["guten morgen"]))
    assert answer["label"].numpy().tolist() == [b"de"]


def test_what_a_killed_export_has_left_is_removed_by_the_next(first_export):
    assert [path.name for path in first_export.parent.iterdir()] == ["served"]


@pytest.mark.slow
def test_an_export_that_another_process_writes_is_refused_in_one_line(runs, tmp_path):
    with (tmp_path / ".served.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("7 on elsewhere")
        file.flush()
        ended = commands.run("export", runs["text"], "--out", "served", folder=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.splitlines() == [
            "attnzoo: error: served: another `attnzoo export` (process 7 on elsewhere) is writing to it; "
            "wait for it."
        ]
        assert [path.name for path in tmp_path.iterdir()] == [".served.lock"]
    ended = commands.run("export", runs["text"], "--out", "served", folder=tmp_path)
    assert (ended.code, ended.out) == (0, "served\n"), ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_how_near_an_answer_must_be_follows_the_unit_of_the_numbers():
    numbers = np.array([250_000.0, 125_000.5], np.float32)
    next_ones = np.nextafter(numbers, np.float32(np.inf))
    assert exporting._close(numbers, next_ones, 1e-4 * 50_000.0)
    assert not exporting._close(numbers, numbers + 6.0, 1e-4 * 50_000.0)
    assert not exporting._close(1e-5 * numbers / 250_000, np.zeros(2, np.float32), 1e-4 * 1e-6)


def test_a_folder_without_a_name_of_its_own_is_refused(runs, tmp_path):
    ended = commands.run("export", runs["text"], "--out", ".", folder=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith("choose another one with --out.\n")
