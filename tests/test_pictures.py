"""Pictures for people: nothing of somebody else is written over."""

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from attnzoo.errors import UserError
from attnzoo.pictures import require_own_pictures, save_picture, write_png

PICTURE = np.full((5, 7, 3), 200, np.uint8)


def test_own_pictures_may_be_drawn_again_and_images_of_others_are_not_written_over(tmp_path):
    require_own_pictures(None)
    require_own_pictures(tmp_path / "new")
    write_png(PICTURE, tmp_path / "1.png")
    save_picture(Figure(), tmp_path / "flip.png")
    (tmp_path / "notes.txt").write_text("mine")
    require_own_pictures(tmp_path)
    (tmp_path / "photo.png").write_bytes(tf.io.encode_png(PICTURE).numpy())
    with pytest.raises(UserError, match=r"has images that attnzoo did not draw, such as photo\.png"):
        require_own_pictures(tmp_path)


def test_a_picture_that_is_written_has_its_pixels(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (9, 4, 3)).astype(np.uint8)
    write_png(picture, tmp_path / "a.png")
    read = tf.io.decode_png(tf.io.read_file(str(tmp_path / "a.png")), channels=3)
    np.testing.assert_array_equal(read, picture)
