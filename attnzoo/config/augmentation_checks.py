"""Which random changes of images suit a task with boxes, and which one without. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from attnzoo.config.augmentation import BOXES, ImageChange, LosingChange
from attnzoo.config.base import Problem


def box_problems(changes: Sequence[ImageChange], features: Collection[str]) -> Iterator[Problem]:
    """Yields changes that do not suit images with boxes, or those without, from `data.augment`.

    Args:
        changes: their options.
        features: names of the features of the task.
    """
    for number, change in enumerate(changes):
        name = type(change).model_fields["name"].default
        if BOXES in features and not change.supports_boxes:
            yield ("augment", number), f"{name} cannot move boxes; remove it, or use another change"
        elif BOXES not in features and change.needs_boxes:
            yield ("augment", number), f"{name} is for images with boxes only; remove it"


def unused_without_boxes(changes: Sequence[ImageChange], features: Collection[str]) -> Iterator[Problem]:
    """Yields options of `data.augment` that have no effect on images without boxes, and why."""
    if BOXES not in features:
        for number, change in enumerate(changes):
            if isinstance(change, LosingChange):
                yield ("augment", number, "min_visible"), "the images have no boxes"
