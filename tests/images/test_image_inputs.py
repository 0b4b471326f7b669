"""Images named on the command line."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.errors import DataNote, UserError
from attnzoo.images.image_inputs import image_inputs

PNG = tf.io.encode_png(np.zeros((2, 3, 3), np.uint8)).numpy()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two images in a folder and one in a subfolder, among other files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images" / "more").mkdir(parents=True)
    for name in ("b.png", "a.png", "more/c.png"):
        (tmp_path / "images" / name).write_bytes(PNG)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    (tmp_path / "images" / ".hidden.png").write_bytes(PNG)
    return tmp_path


def test_a_folder_stands_for_its_images_with_those_of_subfolders(folder):
    with pytest.warns(DataNote, match=r"^images: skipped, .*: 1 \.hidden\.png, 1 \*\.txt\.$"):
        assert image_inputs("images") == ["images/a.png", "images/b.png", "images/more/c.png"]


def test_a_pattern_stands_for_the_images_that_fit_it(folder):
    with pytest.warns(DataNote, match=r"^images/\*: skipped, .*: 1 \*\.txt\.$"):
        assert image_inputs("images/*") == ["images/a.png", "images/b.png"]
    assert image_inputs("images/**/*.png") == ["images/a.png", "images/b.png", "images/more/c.png"]


def test_an_image_file_is_told_from_a_list_of_paths(folder):
    assert image_inputs("images/a.png") == ["images/a.png"]
    (folder / "list").write_text("BM1.png\n")  # bitmap files begin with these letters too
    (folder / "unnamed").write_bytes(PNG)
    assert image_inputs("list") is None
    assert image_inputs("images/notes.txt") is None
    assert image_inputs("unnamed") == ["unnamed"]
    assert image_inputs("-") is None
    assert image_inputs("missing.png") is None


def test_a_folder_or_pattern_without_images_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no images in this folder"):
        image_inputs("empty")
    with pytest.raises(UserError, match=r"none/\*: no image fits this pattern"):
        image_inputs("none/*")
