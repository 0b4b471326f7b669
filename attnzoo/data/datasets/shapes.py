"""Rendered shapes with boxes: circles, squares, triangles and stars on textured backgrounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from attnzoo.data.splits import DataSplits, Split
from attnzoo.features.boxes import Boxes, Objects, objects_column
from attnzoo.features.feature import Feature
from attnzoo.features.image_data_options import ImageOptions

COLUMNS = {"image": ("image",), "boxes": ("boxes",)}

NAMES = ("circle", "square", "star", "triangle")
CORNERS = {"square": 4, "triangle": 3, "star": 5}
SIDE = 128
"""Height and width of an image in pixels."""
MAX_OBJECTS = 6
RADII = (8.0, 30.0)
"""Smallest and largest distance from the center of a shape to its outermost points, in pixels."""
MAX_OVERLAP = 0.15
"""Largest fraction of a box that another one covers."""
MIN_CONTRAST = 0.35
"""Smallest difference in one channel, 0 to 1, between a shape and the mean of what is behind it."""
ATTEMPTS = 12
INNER_RADIUS = 0.45
"""Distance of the inner corners of a star from its center, as a fraction of that of the outer ones."""
PER_VALIDATION, PER_TEST = 8, 4
"""Images of train for each of validation, and for each of test."""


class Config(ImageOptions):
    """Color images of 128 x 128 pixels with 0 to 6 shapes of 4 classes, about 12 to 60 pixels wide."""

    name: Literal["shapes"] = Field(
        description="Rendered circles, squares, stars and triangles with boxes; no download."
    )
    examples: Annotated[int, Field(ge=8, le=20_000)] = Field(
        2000,
        description="Images of train, 8 to 20,000; validation has an eighth as many, test a quarter. "
        "The first ones are the same for any number.",
    )

    @property
    def holds_out_validation(self) -> bool:
        """False: it has a validation split."""
        return False

    def known_labels(self) -> tuple[str, ...]:
        """Returns the names of the shapes."""
        return NAMES


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns images <uint8>[examples, 128, 128, 3] and boxes <object>[examples] of `Objects`.

    An image depends on its split and index only. Boxes are those of the shapes as drawn, to a fraction of a
    pixel. A shape may cover a small part of another one; about one image in seven has no shape.
    """
    sizes = {
        "train": config.examples,
        "validation": config.examples // PER_VALIDATION,
        "test": config.examples // PER_TEST,
    }
    splits = {}
    for number, (name, size) in enumerate(sizes.items()):
        rendered = [render(number, index) for index in range(size)]
        columns = {
            "image": np.stack([image for image, _ in rendered]),
            "boxes": objects_column([objects for _, objects in rendered]),
        }
        splits[name] = Split(columns, f"shapes {name}")
    declared = {"boxes": Boxes(names=NAMES)}
    return DataSplits(splits["train"], splits["validation"], splits["test"], declared)


def render(split: int, index: int) -> tuple[np.ndarray, Objects]:
    """Returns an image <uint8>[128, 128, 3] and its shapes."""
    generator = np.random.default_rng(np.random.SeedSequence((0x5A4E5, split, index)))
    image = _background(generator)  # [height, width, 3]
    boxes: list[tuple[float, ...]] = []
    labels = []
    for shape in _shapes(generator, int(generator.integers(0, MAX_OBJECTS + 1))):
        box = shape.box
        if all(_overlap(box, other) <= MAX_OVERLAP for other in boxes):
            shape.draw(image, generator)
            boxes.append(box)
            labels.append(NAMES.index(shape.name))
    pixels = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
    return pixels, Objects(
        SIDE,
        SIDE,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        np.zeros(len(labels), bool),
    )


class _Shape(NamedTuple):
    """A shape: its class, the center and the distance to its outermost points in pixels, and its rotation."""

    name: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of the shape in pixels."""
        if self.name == "circle":
            return (
                self.x - self.radius,
                self.y - self.radius,
                self.x + self.radius,
                self.y + self.radius,
            )
        corners = CORNERS[self.name]
        angles = self.angle + 2.0 * math.pi / corners * np.arange(corners)
        xs, ys = self.x + self.radius * np.cos(angles), self.y + self.radius * np.sin(angles)
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())

    def coverage(self, rows: slice, columns: slice) -> np.ndarray:
        """Returns how much of each pixel the shape covers, <float>[rows, columns] in 0 to 1."""
        y = np.arange(rows.start, rows.stop)[:, None] + 0.5 - self.y
        x = np.arange(columns.start, columns.stop) + 0.5 - self.x
        distance = np.hypot(y, x)
        if self.name == "circle":
            return np.clip(self.radius - distance + 0.5, 0.0, 1.0)
        # All sides look the same from the center: the angle is folded to half a side, from a corner on.
        sector = 2.0 * math.pi / CORNERS[self.name]
        angle = np.abs((np.arctan2(y, x) - self.angle + sector / 2.0) % sector - sector / 2.0)
        inner = INNER_RADIUS if self.name == "star" else math.cos(sector / 2.0)
        end = self.radius * inner * np.array([math.cos(sector / 2.0), math.sin(sector / 2.0)])
        side = end - (self.radius, 0.0)
        normal = np.array([side[1], -side[0]]) / np.hypot(*side)  # outwards
        outside = (distance * np.cos(angle) - self.radius) * normal[0] + distance * np.sin(angle) * normal[1]
        return np.clip(0.5 - outside, 0.0, 1.0)

    def draw(self, image: np.ndarray, generator: np.random.Generator) -> None:
        """Draws the shape into an image <float32>[height, width, 3], in a color that stands out from it."""
        left, top, right, bottom = self.box
        rows, columns = (
            slice(max(0, math.floor(least) - 1), min(SIDE, math.ceil(most) + 1))
            for least, most in ((top, bottom), (left, right))
        )
        covered = self.coverage(rows, columns)[..., None]  # [rows, columns, 1]
        behind = (covered * image[rows, columns]).sum(axis=(0, 1)) / covered.sum()
        colors = generator.random((ATTEMPTS, 3))
        differences = np.abs(colors - behind).max(axis=1)
        color = colors[np.argmax(np.minimum(differences, MIN_CONTRAST))]  # the first, or the best
        shade = 1.0 + generator.uniform(-0.2, 0.2) * (np.arange(rows.start, rows.stop) - self.y) / self.radius
        image[rows, columns] += covered * (shade[:, None, None] * color - image[rows, columns])


def _shapes(generator: np.random.Generator, count: int) -> Iterator[_Shape]:
    """Yields `count` shapes that are inside the image; small ones are as likely as large ones."""
    for _ in range(count):
        radius = math.exp(generator.uniform(*np.log(RADII)))
        x, y = generator.uniform(radius, SIDE - radius, 2)
        name = NAMES[int(generator.integers(len(NAMES)))]
        yield _Shape(name, float(x), float(y), radius, float(generator.uniform(0.0, 2.0 * math.pi)))


def _background(generator: np.random.Generator) -> np.ndarray:
    """Returns patches of color with stripes and noise, <float32>[height, width, 3], around 0 to 1."""
    knots = int(generator.integers(2, 9))
    places = np.linspace(0.0, knots - 1.0, SIDE)
    weights = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(knots)))  # [side, knots], linear
    patches = generator.random(3) + generator.uniform(0.0, 0.35) * generator.normal(size=(knots, knots, 3))
    image = np.einsum("yj,jkc,xk->yxc", weights, patches, weights, optimize=True).astype(np.float32)
    angle, waves = generator.uniform(0.0, math.pi), generator.uniform(2.0, 24.0)
    along = np.linspace(0.0, 2.0 * math.pi * waves, SIDE, dtype=np.float32)
    phase = along[:, None] * math.sin(angle) + along * math.cos(angle)  # [height, width]
    stripes = np.sin(phase)[..., None] * generator.uniform(-0.12, 0.12, 3).astype(np.float32)
    noise = generator.random((SIDE, SIDE, 3), np.float32) - 0.5
    return image + stripes + np.float32(generator.uniform(0.0, 0.2)) * noise


def _overlap(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Returns the fraction of the smaller of two boxes that the other one covers."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)]
    return max(0.0, width) * max(0.0, height) / min(areas)
