"""Settings and helpers for drawing pictures with Matplotlib."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 100
TENSORBOARD_INCHES = 3.5
"""Width of pictures for TensorBoard, which scales them to 350 pixels, so that text in wider ones blurs."""


@contextlib.contextmanager
def literal_text() -> Iterator[None]:
    """Draws texts literally: `$` does not start a formula, and a character missing in the font is a box."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context({"text.parse_math": False}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def render(figure: Figure) -> np.ndarray:
    """Renders a figure to pixels <uint8>[height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
