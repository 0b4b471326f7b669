"""Checks of detection options against the data: splits without objects, and limits that leave some out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from attnzoo.errors import DataWarning, UserError
from attnzoo.features.boxes import Objects


def require_objects(objects: Mapping[str, Sequence[Objects]], monitor: str | None) -> None:
    """Refuses a split whose images have no objects, or only crowds, where objects are needed.

    Args:
        objects: split -> objects of each image.
        monitor: metric of validation that needs objects; None if no such one is monitored.

    Raises:
        UserError: train has none, or validation has none and `monitor` needs some.
    """
    advice = {"train": "there is nothing to learn"}
    if monitor is not None:
        advice["validation"] = (
            f"{monitor} is undefined there; use other images for validation, or set eval.monitor: loss"
        )
    for split, what in advice.items():
        if all(one.crowd.all() for one in objects[split]):
            crowds = " but crowds" if any(len(one.crowd) for one in objects[split]) else ""
            raise UserError(
                f"{split}: none of {len(objects[split]):,} images has objects{crowds}, so {what}."
            )


def warn_of_limits(limits: Mapping[str, int], objects: Mapping[str, Sequence[Objects]]) -> None:
    """Issues a `DataWarning` for each limit that images with more objects exceed.

    Args:
        limits: config key -> the most objects of an image that can be found with it.
        objects: split -> objects of each image.
    """
    counts = {
        name: np.array([np.count_nonzero(~one.crowd) for one in images]) for name, images in objects.items()
    }
    for key, limit in limits.items():
        beyond = {name: int(np.count_nonzero(numbers > limit)) for name, numbers in counts.items()}
        if any(beyond.values()):
            images = ", ".join(f"{count:,} of {name}" for name, count in beyond.items() if count)
            most = max(int(numbers.max(initial=0)) for numbers in counts.values())
            warnings.warn(
                f"{key}: {limit} is fewer than the objects of some images ({images}; up to {most}), and no "
                f"more are found in one; set {key}: {most}.",
                DataWarning,
                stacklevel=2,
            )
