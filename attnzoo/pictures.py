"""What all pictures share."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_AN_INCH = 100
BOARD_INCHES = 3.5
"""Width of a picture for TensorBoard, which shows it 350 pixels wide and garbles the texts of wider ones."""


@contextlib.contextmanager
def plain_texts() -> Iterator[None]:
    """Texts are drawn as they are: `$` begins no formula, and a letter that the font lacks is a box."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context({"text.parse_math": False}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def pixels_of(figure: Figure) -> np.ndarray:
    """Returns a figure as pixels <uint8>[height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
