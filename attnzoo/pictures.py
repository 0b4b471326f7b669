"""Settings and helpers for drawing pictures with Matplotlib."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnzoo.errors import UserError
from attnzoo.files import disk_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 100
TENSORBOARD_INCHES = 3.5
"""Width of pictures for TensorBoard, which scales them to 350 pixels, so that text in wider ones blurs."""

COLORS = "tab10"
"""Colors of the classes of boxes, again and again."""

METADATA = {"Software": "attnzoo"}
"""Metadata of PNG files, by which `require_own_pictures` tells them from those of others."""
_MARK, _MARKED_BYTES = b"tEXtSoftware\0attnzoo", 4096


def require_own_pictures(folder: Path | None) -> None:
    """Refuses a folder with PNG files that attnzoo did not draw, as it could overwrite them.

    Args:
        folder: that pictures are to be written to; need not exist. None: a folder of attnzoo's own.

    Raises:
        UserError: there is such a file.
    """
    if folder is None:
        return
    with disk_errors(folder):
        for path in sorted(folder.glob("*.png")):
            with path.open("rb") as stream:
                if _MARK not in stream.read(_MARKED_BYTES):
                    what = f"has images that attnzoo did not draw, such as {path.name}, and could overwrite"
                    raise UserError(f"--out {folder}: {what}; choose another folder.")


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


def write_png(picture: np.ndarray, path: Path) -> None:
    """Writes a picture <uint8>[height, width, 3]; its folder is created.

    Raises:
        UserError: the file cannot be written (4).
    """
    from matplotlib import image

    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        image.imsave(path, picture, metadata=METADATA)


def save_picture(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG, with the folders above it, and returns its path.

    Raises:
        UserError: it cannot be written (exit code 4).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_png(str(path), metadata=METADATA)
    return path


class BoxLayer(NamedTuple):
    """Boxes that are drawn over an image.

    Attributes:
        boxes: <float>[boxes, 4], left, top, right, bottom in pixels of the image.
        texts: of each box, empty for none; `colors` of each.
        is_dashed: whether the lines are dashed, as those of true objects.
    """

    boxes: np.ndarray
    texts: Sequence[str]
    colors: Sequence[str]
    is_dashed: bool = False


def class_color(number: int) -> str:
    """Returns the color of the boxes of a class."""
    import matplotlib

    colors = matplotlib.colormaps[COLORS].colors  # type: ignore[attr-defined]
    return matplotlib.colors.to_hex(colors[number % len(colors)])


def draw_boxes(image: np.ndarray, layers: Sequence[BoxLayer], width: int) -> np.ndarray:
    """Draws boxes with texts over an image.

    Args:
        image: <uint8>, or <float> in 0..1, [height, width, channels].
        layers: what is drawn, the first below the others.
        width: of the picture in pixels.

    Returns:
        <uint8>[height, width, 3], with the aspect ratio of the image.
    """
    from matplotlib.figure import Figure

    rows, columns = image.shape[:2]
    pixels = image / 255.0 if image.dtype == np.uint8 else image
    height = max(1, round(width * rows / columns))
    points = float(np.clip(np.sqrt(width * height) / 60.0, 5.5, 14.0))
    with literal_text():
        figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.imshow(
            np.broadcast_to(pixels, (rows, columns, 3)),
            vmin=0,
            vmax=1,
            extent=(0, columns, rows, 0),
            aspect="auto",
        )
        for layer in layers:
            # Detections are best first; the best are drawn over the others.
            for box, text, color in reversed(list(zip(layer.boxes, layer.texts, layer.colors, strict=True))):
                _add_box(axes, [float(side) for side in box], text, color, layer.is_dashed, points)
        axes.set_xlim(0, columns)
        axes.set_ylim(rows, 0)
        axes.set_axis_off()
        return render(figure)


def _add_box(axes, box: list[float], text: str, color: str, is_dashed: bool, points: float) -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    style = (0, (3, 2)) if is_dashed else "-"
    axes.add_patch(
        Rectangle(
            (left, top),
            right - left,
            bottom - top,
            fill=False,
            edgecolor=color,
            linewidth=points / 6,
            linestyle=style,
        )
    )
    if text:
        _, columns, rows, _ = axes.images[0].get_extent()
        has_room_above, is_at_right = top > 0.05 * rows, left > 0.7 * columns
        axes.text(
            right if is_at_right else left,
            top,
            text,
            color="white",
            fontsize=points,
            va="bottom" if has_room_above else "top",
            ha="right" if is_at_right else "left",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": color, "edgecolor": "none", "alpha": 0.85},
            clip_on=True,
        )
