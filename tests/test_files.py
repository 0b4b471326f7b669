import importlib
import json
import os
import re
from pathlib import Path

import pytest

from attnzoo.errors import UserError
from attnzoo.files import (
    disk_errors,
    exclusive_lock,
    mebibytes,
    read_json,
    read_regular,
    remove_leftovers,
    replaced_file,
    replaced_folder,
    write_text,
)


def test_text_is_replaced_whole(tmp_path):
    write_text(tmp_path / "x.json", "one")
    write_text(tmp_path / "x.json", "two")
    assert (tmp_path / "x.json").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_text_that_cannot_be_written_is_one_error_and_the_old_one_stays(tmp_path):
    (tmp_path / "x.json").write_text("one")
    (tmp_path / ".x.json.tmp").mkdir()
    message = r"x\.json: cannot be written \(0\.0 MiB needed\): Is a directory"
    with pytest.raises(UserError, match=message) as caught:
        write_text(tmp_path / "x.json", "two")
    assert caught.value.exit_code == 4
    assert (tmp_path / "x.json").read_text() == "one"


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (3 << 19, OSError(28, "full"), "x: cannot be written (1.5 MiB needed): full; fix this"),
        (None, OSError("gone"), "x: cannot be written: gone; fix this"),
    ],
)
def test_what_the_disk_refuses_is_one_line_with_the_size_where_it_is_known(size, error, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught, disk_errors(Path("x"), size):
        raise error
    assert caught.value.exit_code == 4


def test_bytes_are_formatted_as_mebibytes():
    assert mebibytes(3 << 19) == "1.5 MiB"
    assert mebibytes(1 << 40) == "1,048,576.0 MiB"


def test_a_stop_removes_the_files_that_are_not_finished(tmp_path, monkeypatch):
    app = importlib.import_module("attnzoo.cli.app")

    def end(code):
        raise KeyboardInterrupt(code, [path.name for path in tmp_path.iterdir()])

    monkeypatch.setattr(os, "_exit", end)
    (tmp_path / "a.csv").write_text("old")
    with replaced_file(tmp_path / "a.csv") as file:
        file.write("new")
        with pytest.raises(KeyboardInterrupt) as caught:
            app._stop(2, None)
        (tmp_path / ".a.csv.tmp").write_text("old")
    assert caught.value.args == (75, ["a.csv"])
    assert (tmp_path / "a.csv").read_text() == "old"


def fill(folder, text, error=None):
    with replaced_folder(folder) as temporary:
        (temporary / "x").write_text(text)
        if error is not None:
            raise error


def test_a_folder_gets_its_name_when_it_is_complete_and_replaces_an_older_one(tmp_path):
    for text in ("one", "two"):
        fill(tmp_path / "folder", text)
        assert (tmp_path / "folder" / "x").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_is_not_filled_leaves_the_older_one(tmp_path):
    fill(tmp_path / "folder", "one")
    with pytest.raises(KeyError, match="no more"):
        fill(tmp_path / "folder", "two", KeyError("no more"))
    assert (tmp_path / "folder" / "x").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_crash_has_left_is_removed_and_nothing_else(tmp_path):
    for name in (".a.tmp", ".b.old"):
        (tmp_path / name).mkdir()
    (tmp_path / ".c.tmp").write_text("half")
    (tmp_path / "kept").mkdir()
    (tmp_path / ".link.tmp").symlink_to(tmp_path / "kept")
    for name in (".lock", "d.tmp"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "d.tmp", "kept"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"{", "Expecting property name"),
        (b"[1]", "not a JSON object"),
        (b"\xff", "utf-8"),
        (b'{"a": ' + b"[" * 100_000, ""),
    ],
    ids=["missing", "cut off", "a list", "not UTF-8", "nested"],
)
def test_what_is_no_json_object_is_one_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.json: damaged: .*{message}") as caught:
        read_json(tmp_path / "x.json")
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_json_object_is_read(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": [1]}))
    assert read_json(tmp_path / "x.json") == {"a": [1]}


def test_a_file_that_is_too_large_or_not_regular_is_not_read(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(7))
    assert read_regular(path, 7) == bytes(7)
    with pytest.raises(ValueError, match=r"x has 0\.0 MiB, more than 0\.0 MiB"):
        read_regular(path, 6)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ValueError, match="is not a file"):
            read_regular(tmp_path / name, 7)


def test_a_lock_has_one_holder_and_tells_who_it_is(tmp_path):
    with exclusive_lock(tmp_path / ".lock", "held by {}".format):
        with (
            pytest.raises(UserError, match=rf"held by {os.getpid()} on ") as caught,
            exclusive_lock(tmp_path / ".lock", "held by {}".format),
        ):
            pass
        assert caught.value.exit_code == 2
    with exclusive_lock(tmp_path / ".lock", "held by {}".format):
        pass
