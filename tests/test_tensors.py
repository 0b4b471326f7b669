import numpy as np
import pytest

from attnzoo.errors import UserError
from attnzoo.tensors import assign_values, named_values, read_tensors, write_tensors, write_text


class Variable:
    def __init__(self, path, value):
        self.path, self.value = path, np.asarray(value)

    @property
    def shape(self):
        return self.value.shape

    def assign(self, value):
        self.value = value

    def numpy(self):
        return self.value


def test_tensors_come_back_bit_by_bit(tmp_path):
    tensors = {"a": np.float32(3.5), "b": np.arange(11, dtype=np.int64), "c": np.ones((2, 3), np.float16)}
    write_tensors(tmp_path / "folder", tensors, {"step": 7})
    found, state = read_tensors(tmp_path / "folder")
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
            read_tensors(tmp_path / "folder")
        assert caught.value.exit_code == 4


def test_a_missing_file_is_noticed(tmp_path):
    write_tensors(tmp_path / "folder", {"a": np.arange(3.0)}, {})
    (tmp_path / "folder" / "state.json").unlink()
    with pytest.raises(UserError, match="damaged or incomplete"):
        read_tensors(tmp_path / "folder")


def test_an_old_folder_is_replaced_and_nothing_temporary_stays(tmp_path):
    for step in (1, 2):
        write_tensors(tmp_path / "folder", {"a": np.arange(3.0) * step}, {"step": step})
    assert read_tensors(tmp_path / "folder")[1] == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written: Not a directory") as caught:
        write_tensors(tmp_path / "file" / "folder", {"a": np.arange(3.0)}, {})
    assert caught.value.exit_code == 4


def test_text_is_replaced_whole(tmp_path):
    write_text(tmp_path / "x.json", "one")
    write_text(tmp_path / "x.json", "two")
    assert (tmp_path / "x.json").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_variables_that_do_not_fit_are_named_and_none_is_changed(tmp_path):

    variables = [Variable("dense/kernel", np.zeros((2, 3))), Variable("dense/bias", np.zeros(3))]
    values = named_values(variables, "model")
    values["model/dense/bias"] = np.ones(5)
    values["model/extra"] = np.ones(1)
    del values["model/dense/kernel"]
    with pytest.raises(UserError) as caught:
        assign_values(variables, "model", values, tmp_path)
    for part in ("missing 'model/dense/kernel'", "unexpected 'model/extra'", "has shape (5,), expected (3,)"):
        assert part in str(caught.value)
    assert variables[1].value.sum() == 0


def test_two_variables_of_one_name_are_refused():

    with pytest.raises(ValueError, match="Two variables are called 'model/a'"):
        named_values([Variable("a", 1.0), Variable("a", 2.0)], "model")
