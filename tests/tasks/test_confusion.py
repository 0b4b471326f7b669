import warnings

import numpy as np
import pytest

from attnzoo.tasks import confusion


@pytest.mark.parametrize("classes", [2, 7, 61])
def test_a_picture_is_drawn_for_any_names_of_classes(classes):
    labels = ["$5-$\\foo$", "日本", "a\nb", "x" * 1000, "", "%", "_", *map(str, range(classes))][:classes]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dark, light = (
            confusion.draw(matrix, labels)
            for matrix in (np.eye(classes, dtype=int) * 9, np.ones((classes,) * 2))
        )
    assert dark.dtype == np.uint8
    assert dark.shape[2] == 3
    assert (dark == [8, 48, 107]).all(axis=2).sum() > 2 * (light == [8, 48, 107]).all(axis=2).sum()
