"""Options of detection. Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from attnzoo.config.base import PositiveInt
from attnzoo.config.sections import EvalOptions, TrainOptions

SCORE_THRESHOLD = 0.25
"""Lowest score of detections that are shown, unless a config says another for answers and exports."""


class DetectionTrainOptions(TrainOptions):
    """How a detector is trained."""

    box_loss: Literal["ciou", "giou"] = Field(
        "ciou",
        description="Loss of boxes: ciou (complete IoU, with center distance and aspect ratio) or giou "
        "(generalized IoU).",
    )
    box_weight: Annotated[float, Field(ge=0.0)] = Field(
        2.0, description="Weight of the box loss; that of the class loss is 1."
    )
    distance_weight: Annotated[float, Field(ge=0.0)] | None = Field(
        None,
        description="Weight of the distance of centers and sides from the true ones, in fractions of the "
        "image (L1). Default: 5 for detector_transformer, else 0.",
    )
    class_loss: Literal["quality_focal", "focal"] = Field(
        "quality_focal",
        description="Loss of classes: quality_focal learns the IoU of the box as the score of its class; "
        "focal learns whether there is an object of the class.",
    )
    focal_gamma: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        2.0, description="Exponent by which easy candidates count less in the class loss; 0 = all alike."
    )


class DetectionEvalOptions(EvalOptions):
    """How detections are made and scored."""

    decode: Literal["final", "every"] = Field(
        "every",
        description="When average precision is computed: at every evaluation, or at the end only.",
    )
    score_threshold: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        SCORE_THRESHOLD,
        description="Lowest score of a detection in answers and exports, 0 to 1. Metrics count all from "
        "0.001 on.",
    )
    suppression_iou: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.6,
        description="Non-maximum suppression: largest IoU of two detections of one class; 1 = no "
        "suppression. Not for detector_transformer.",
    )
    max_detections: PositiveInt = Field(100, description="Most detections of an image.")
