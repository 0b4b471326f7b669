"""What each detection attends to: the attention of its level of the feature pyramid, or of its query."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.explain.image import BATCH_SIZE, over_image, readable_images
from attnzoo.explain.view import AttentionMap, AttentionView, choose_layer, rounded
from attnzoo.features.boxes import Boxes, Objects
from attnzoo.features.feature import Column
from attnzoo.features.image import Image, image_name
from attnzoo.features.info import DataInfo
from attnzoo.images.image_files import read_header
from attnzoo.images.letterbox import to_canvas, to_pixels
from attnzoo.layers import attention_weights
from attnzoo.pictures import DOTS_PER_INCH, TENSORBOARD_INCHES, BoxLayer, class_color, draw_boxes, write_png

MAX_PANELS = 5
"""Detections of an image that are drawn with their own attention, best first."""
PANEL_WIDTH = 480
TRUE_COLOR, OTHER_COLOR = "white", "gray"
_BOX, _SCORE, _LABEL = slice(0, 4), 4, 5


class AttendedDetection(NamedTuple):
    """A detection, and where it attends.

    Attributes:
        box: <float32>[4], left, top, right, bottom as fractions of the canvas.
        score: 0 to 1.
        label: class number.
        layer: name of the attention layer.
        weights: <float32>[rows, columns], attention to each position of the feature map; the sum is 1.
    """

    box: np.ndarray
    score: float
    label: int
    layer: str
    weights: np.ndarray

    @property
    def attention_inside(self) -> float:
        """Fraction of the attention that is inside the box."""
        rows, columns = self.weights.shape
        left, top, right, bottom = self.box
        return float(_covered(top, bottom, rows) @ self.weights @ _covered(left, right, columns))

    @property
    def area(self) -> float:
        """Fraction of the canvas that is inside the box."""
        left, top, right, bottom = map(float, self.box)
        return max(0.0, right - left) * max(0.0, bottom - top)


def _covered(low: float, high: float, count: int) -> np.ndarray:
    """Returns which fraction of each of `count` equal parts of 0 to 1 lies between two places."""
    edges = np.clip(np.arange(count + 1) / count, low, max(low, high))
    return np.diff(edges) * count


@dataclasses.dataclass(frozen=True)
class DetectionsAttention(AttentionMap):
    """The attention of a detector over an image.

    Attributes:
        image: path of the file, or number of the example.
        pixels: [height, width, channels], the image as the model sees it.
        size: height and width of the upright original image.
        detections: those above the threshold, best first.
        truth: true objects if they are known, else None.
        boxes: the feature, which knows classes and canvas.
    """

    image: str
    pixels: np.ndarray
    size: tuple[int, int]
    detections: Sequence[AttendedDetection]
    truth: Objects | None
    boxes: Boxes

    def pixel_box(self, one: AttendedDetection) -> list[float]:
        """Returns the box of a detection in pixels of the original image."""
        height, width = self.boxes.canvas
        box = to_pixels(one.box[None], *self.size, (height, width), self.boxes.resize)[0]
        return [round(float(side), 2) for side in box]

    def to_json(self) -> str:
        """Returns the detections with their attention as one line of JSON."""
        detections = [
            {
                "label": self.boxes.names[one.label],
                "score": one.score,
                "box": self.pixel_box(one),
                "layer": one.layer,
                "attention_inside": one.attention_inside,
                "weights": one.weights.astype(float).tolist(),
            }
            for one in self.detections
        ]
        values: dict[str, Any] = {"image": self.image, "detections": detections}
        if self.truth is not None:
            names = [self.boxes.names[label] for label in self.truth.labels]
            values["true_objects"] = [
                {"label": name, "box": box.astype(float).tolist()}
                for name, box in zip(names, self.truth.boxes, strict=True)
            ]
        return json.dumps(rounded(values), ensure_ascii=False)

    @property
    def canvas_sides(self) -> np.ndarray:
        """Width, height, width and height of the canvas in pixels."""
        height, width = self.pixels.shape[:2]
        return np.array([width, height, width, height], np.float32)

    def layers(self) -> list[BoxLayer]:
        """Returns the true boxes, dashed, and the detections in the colors of their classes."""
        layers = []
        if self.truth is not None:
            height, width = self.boxes.canvas
            canvas = (height, width)
            true = to_canvas(self.truth.boxes, *self.size, canvas, self.boxes.resize) * self.canvas_sides
            layers.append(BoxLayer(true, [""] * len(true), [TRUE_COLOR] * len(true), is_dashed=True))
        texts = [f"{self.boxes.names[one.label][:16]} {one.score:.2f}" for one in self.detections]
        colors = [class_color(one.label) for one in self.detections]
        layers.append(BoxLayer(self._corners(), texts, colors))
        return layers

    def _corners(self) -> np.ndarray:
        return np.array([one.box for one in self.detections], np.float32).reshape(-1, 4) * self.canvas_sides

    def overview(self, width: int) -> np.ndarray:
        """Draws the image with boxes and, below it, the attention of all detections together."""
        top = draw_boxes(self.pixels, self.layers(), width)
        maps = [
            tf.image.resize(_relative(one.weights)[..., None], self.pixels.shape[:2])
            for one in self.detections
        ]
        together = np.max(maps, axis=0)[..., 0] if maps else np.zeros(self.pixels.shape[:2], np.float32)
        plain = [layer._replace(texts=[""] * len(layer.texts)) for layer in self.layers()]
        return np.concatenate([top, draw_boxes(over_image(self.pixels, together), plain, width)])

    def panels(self) -> np.ndarray:
        """Draws the overview and, beside it, the attention of each of the best detections."""
        columns = [self.overview(PANEL_WIDTH)]
        drawn = [self._panel(one) for one in self.detections[:MAX_PANELS]]
        height = len(columns[0]) // 2
        for first in range(0, len(drawn), 2):
            pair = drawn[first : first + 2]
            pair += [np.full_like(pair[0], 255)] * (2 - len(pair))
            columns.append(np.concatenate([panel[:height] for panel in pair]))
        return np.concatenate(columns, axis=1)

    def _panel(self, one: AttendedDetection) -> np.ndarray:
        text = f"{self.boxes.names[one.label][:16]} {one.score:.2f}  {one.layer}"
        layer = BoxLayer(one.box[None] * self.canvas_sides, [text], [class_color(one.label)])
        return draw_boxes(over_image(self.pixels, one.weights), [layer], PANEL_WIDTH)


def _relative(weights: np.ndarray) -> np.ndarray:
    return weights / max(float(weights.max(initial=0.0)), 1e-30)


Decode = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]
"""From the outputs of a detector to <float32>[batch, detections, 6]: boxes as fractions of the canvas, scores
and classes; a score is 0 where there is no detection."""


class DetectionsView(AttentionView[DetectionsAttention]):
    """Shows what each detection attends to; weights are means over heads.

    A detection comes from one candidate. If candidates are the positions of a feature pyramid, its attention
    is that of its level: of its own position if the layer has weights for each, else those of the whole
    level. If candidates are queries, it is the attention of its query.

    Args:
        model: a detector whose last layer is named "head".
        info: what is known about the data.
        decode: makes detections of the model's outputs.
        layer: the attention layer to show; None for the one of each detection's level, nearest to the output.

    Raises:
        UserError: the model has no attention over positions, or no such layer.
    """

    def __init__(self, model: keras.Model, info: DataInfo, decode: Decode, layer: str | None = None) -> None:
        nearest = choose_layer(model, layer)
        self.image: Image = info.features["image"]
        self.boxes: Boxes = info.features["boxes"]
        self.sides = level_sides(model)
        self.of_level = [layer or _layer_of_level(model, sides) or nearest for sides in self.sides] or [
            nearest
        ]
        self.names = list(dict.fromkeys(self.of_level))
        self.map_sides = [_map_sides(model, name) for name in self.names]
        explained = attention_weights.with_attention_weights(model, *self.names)

        @tf.function(autograph=False)
        def run(images):
            outputs, *weights = explained(info.model_inputs({"image": images}), training=False)
            means = [tf.reduce_mean(one, axis=1) for one in weights]  # [batch, query, key]
            return decode(outputs), outputs["boxes"], tf.sigmoid(outputs["logits"]), means

        self._run = run

    def detect(self, images: np.ndarray) -> list[list[AttendedDetection]]:
        """Returns the detections, with attention, of images [count, height, width, channels]."""
        results: list[list[AttendedDetection]] = []
        for start in range(0, len(images), BATCH_SIZE):
            detections, boxes, scores, weights = tf.nest.map_structure(
                lambda tensor: tensor.numpy(), self._run(tf.constant(images[start : start + BATCH_SIZE]))
            )
            for index, rows in enumerate(detections):
                of_image = [one[index] for one in weights]
                kept = rows[rows[:, _SCORE] > 0.0]
                results.append([self._attended(row, boxes[index], scores[index], of_image) for row in kept])
        return results

    def _attended(
        self, row: np.ndarray, boxes: np.ndarray, scores: np.ndarray, weights: Sequence[np.ndarray]
    ) -> AttendedDetection:
        """Returns a detection with the attention of its candidate."""
        label = int(row[_LABEL])
        distances = np.abs(np.clip(boxes, 0.0, 1.0) - row[_BOX]).sum(axis=1)
        candidate = int(np.argmin(distances + np.abs(scores[:, label] - row[_SCORE])))
        ends = np.cumsum([math.prod(sides) for sides in self.sides])
        level = int(np.searchsorted(ends, candidate, side="right")) if len(self.of_level) > 1 else 0
        place = self.names.index(self.of_level[level])
        of_layer, sides = weights[place], self.map_sides[place]
        if len(of_layer) == 1:
            query = 0
        elif len(of_layer) == len(boxes):
            query = candidate
        else:
            x, y = (row[0] + row[2]) / 2.0, (row[1] + row[3]) / 2.0
            query = _position(float(y), sides[0]) * sides[1] + _position(float(x), sides[1])
        name = self.names[place]
        return AttendedDetection(row[_BOX], float(row[_SCORE]), label, name, of_layer[query].reshape(sides))

    def pictures(self, examples: Examples, indices: np.ndarray) -> np.ndarray:
        """Draws images of a split with true and predicted boxes and the attention of the detections."""
        maps = self.explain_split(examples.raw, indices)
        width = round(TENSORBOARD_INCHES * DOTS_PER_INCH)
        return np.stack([one.overview(width) for one in maps])

    def explain_inputs(self, inputs: Sequence[str]) -> list[DetectionsAttention]:
        """Returns the attention of the detections in image files."""
        column = readable_images(inputs, self.image)
        sizes = [read_header(path, whole=False, max_pixels=self.image.max_pixels).sides for path in inputs]
        return self._explain(column, list(inputs), sizes, [None] * len(inputs))

    def explain_split(self, split: Split, indices: np.ndarray) -> list[DetectionsAttention]:
        """Returns the attention of the detections in images of a split."""
        chosen, column = split.take(indices), split.column("image")
        names = [image_name(column, index) for index in map(int, indices)]
        truth: list[Objects] = list(chosen.column("boxes"))
        return self._explain(chosen.column("image"), names, [(one.height, one.width) for one in truth], truth)

    def _explain(
        self,
        column: Column,
        names: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        truth: Sequence[Objects | None],
    ) -> list[DetectionsAttention]:
        images = self.image.first(column)
        parts = zip(names, images, sizes, self.detect(images), truth, strict=True)
        return [DetectionsAttention(*part, self.boxes) for part in parts]

    def write(self, maps: Sequence[DetectionsAttention], folder: Path, title: str) -> list[Path]:
        """Writes a PNG per image: boxes, the attention of all detections, and that of each of the best."""
        paths = [folder / f"{number}.png" for number in range(1, len(maps) + 1)]
        for one, path in zip(maps, paths, strict=True):
            write_png(one.panels(), path)
        return paths

    def lines(
        self, maps: Sequence[DetectionsAttention], paths: Sequence[Path], in_colors: bool
    ) -> Iterator[str]:
        """Yields the detections of each image, the attention inside their boxes, and the picture's path."""
        for one, path in zip(maps, paths, strict=True):
            yield f"{one.image}  ->  {len(one.detections)} detections\n  {path}"
            for detection in one.detections:
                name = self.boxes.names[detection.label]
                box = " ".join(f"{side:.0f}" for side in one.pixel_box(detection))
                inside = f"{detection.attention_inside:.1%} of the attention in {detection.area:.1%}"
                yield f"  {name} {detection.score:.2f} [{box}]  {detection.layer}: {inside} of the image"
            yield ""


def level_sides(model: keras.Model) -> list[tuple[int, int]]:
    """Returns rows and columns of each feature map that the head predicts at; empty if it has queries."""
    sides = _maps(model.get_layer("head").input)
    candidates = model.output["boxes"].shape[1]
    return sides if sum(map(math.prod, sides)) == candidates else []


def _layer_of_level(model: keras.Model, sides: tuple[int, int]) -> str | None:
    """Returns the name of the last attention layer over a map of these sides."""
    names = attention_weights.attention_names(model)
    fitting = [name for name in names if sides in _maps(model.get_layer(name).output)]
    return fitting[-1] if fitting else None


def _map_sides(model: keras.Model, name: str) -> tuple[int, int]:
    """Returns rows and columns of the map whose positions a layer attends to: its output or its input."""
    layer = model.get_layer(name)
    return (*_maps(layer.output), *_maps(layer.input))[0]


def _maps(tensors: Any) -> list[tuple[int, int]]:
    """Returns rows and columns of those tensors that are feature maps."""
    shapes = [tensor.shape for tensor in tf.nest.flatten(tensors)]
    return [(int(shape[1]), int(shape[2])) for shape in shapes if len(shape) == 4]


def _position(fraction: float, count: int) -> int:
    return min(count - 1, max(0, int(fraction * count)))
