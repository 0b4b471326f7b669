"""Where an image lies on the canvas that models see, and boxes on both. Imports TensorFlow on first use.

The canvas has the size that all images are resized to. `stretch` fills it with the image, `letterbox` keeps
the aspect ratio: the image is centered, with bars on two sides.

All functions take numbers or <int>[n] and give the same for NumPy arrays and for tensors in a graph.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from etils import epy

with epy.lazy_imports():
    import tensorflow as tf

Resize: TypeAlias = Literal["stretch", "letterbox"]


class Placement(NamedTuple):
    """How an image lies on the canvas: `y` of the image is `scale_y * y + top` of the canvas, in pixels."""

    scale_y: Any
    scale_x: Any
    top: Any
    left: Any


def content_size(height: Any, width: Any, canvas: tuple[int, int], resize: Resize) -> tuple[Any, Any]:
    """Returns the height and width of the image on the canvas, in whole pixels.

    Examples:
        >>> content_size(480, 640, (100, 100), "letterbox")
        (75, 100)
    """
    if resize == "stretch":
        return canvas
    # Each side either fills the canvas or follows from the other one; written without comparisons, as these
    # differ between numbers and tensors. The side that follows is too large where it does not apply.
    rows, columns = _rounded(height * canvas[1], width), _rounded(width * canvas[0], height)
    return _between(1, rows, canvas[0]), _between(1, columns, canvas[1])


def placement(height: Any, width: Any, canvas: tuple[int, int], resize: Resize) -> Placement:
    """Returns where an image of `height` x `width` pixels lies on a canvas of (height, width) pixels.

    Args:
        height, width: of the upright image, <int> or <int>[n]; tensors <int64>, as products may be large.
        canvas: (height, width).
        resize: `stretch` or `letterbox`.

    Examples:
        >>> placement(480, 640, (100, 100), "letterbox")
        Placement(scale_y=0.15625, scale_x=0.15625, top=12, left=0)
    """
    rows, columns = content_size(height, width, canvas, resize)
    return Placement(rows / height, columns / width, _half(canvas[0] - rows), _half(canvas[1] - columns))


def to_canvas(boxes: Any, height: Any, width: Any, canvas: tuple[int, int], resize: Resize) -> Any:
    """Returns boxes in pixels of the image as fractions of the canvas.

    Args:
        boxes: <float>[..., 4]: left, top, right, bottom.
        height, width: of the upright image, numbers or such that they broadcast to [...].
        canvas: (height, width).
        resize: `stretch` or `letterbox`.

    Examples:
        >>> to_canvas(np.array([[0.0, 0.0, 640.0, 240.0]]), 480, 640, (100, 100), "letterbox").tolist()
        [[0.0, 0.12, 1.0, 0.495]]
    """
    place = placement(height, width, canvas, resize)
    xs = [
        (boxes[..., i] * _like(boxes, place.scale_x) + _like(boxes, place.left)) / canvas[1] for i in (0, 2)
    ]
    ys = [(boxes[..., i] * _like(boxes, place.scale_y) + _like(boxes, place.top)) / canvas[0] for i in (1, 3)]
    return _stack(boxes, [xs[0], ys[0], xs[1], ys[1]])


def to_pixels(boxes: Any, height: Any, width: Any, canvas: tuple[int, int], resize: Resize) -> Any:
    """Returns boxes in fractions of the canvas in pixels of the image, clipped to it.

    Args:
        boxes: <float>[..., 4]: left, top, right, bottom.
        height, width: of the upright image, numbers or such that they broadcast to [...].
        canvas: (height, width).
        resize: `stretch` or `letterbox`.

    Examples:
        >>> to_pixels(np.array([[0.0, 0.12, 1.0, 0.495]]), 480, 640, (100, 100), "letterbox").tolist()
        [[0.0, 0.0, 640.0, 240.0]]
    """
    place = placement(height, width, canvas, resize)
    xs = [
        (boxes[..., i] * canvas[1] - _like(boxes, place.left)) / _like(boxes, place.scale_x) for i in (0, 2)
    ]
    ys = [(boxes[..., i] * canvas[0] - _like(boxes, place.top)) / _like(boxes, place.scale_y) for i in (1, 3)]
    xs = [_clipped(x, _like(boxes, width)) for x in xs]
    ys = [_clipped(y, _like(boxes, height)) for y in ys]
    return _stack(boxes, [xs[0], ys[0], xs[1], ys[1]])


def _rounded(dividend: Any, divisor: Any) -> Any:
    """Returns the quotient of whole numbers, rounded half up."""
    return (2 * dividend + divisor) // (2 * divisor)


def _between(least: int, value: Any, most: int) -> Any:
    """Returns whole numbers clipped to `least` to `most`."""
    value = (value + most - abs(value - most)) // 2
    return (value + least + abs(value - least)) // 2


def _half(value: Any) -> Any:
    return value // 2


def _like(boxes: Any, value: Any) -> Any:
    """Returns numbers in the type of the boxes."""
    if isinstance(boxes, np.ndarray):
        return np.asarray(value, boxes.dtype)
    return tf.cast(value, boxes.dtype)


def _clipped(value: Any, most: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return np.clip(value, 0.0, most)
    return tf.clip_by_value(value, 0.0, most)


def _stack(boxes: Any, parts: list[Any]) -> Any:
    return np.stack(parts, axis=-1) if isinstance(boxes, np.ndarray) else tf.stack(parts, axis=-1)
