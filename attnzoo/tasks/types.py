"""Types that tasks exchange with the other packages. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

PredictFn: TypeAlias = Callable[[dict[str, Any]], Any]
"""From the inputs of a batch to the model's predictions for its examples."""
Predictor: TypeAlias = Callable[[Sequence[str]], list[dict[str, Any]]]
"""From raw inputs (texts, or paths of images) to one JSON-serializable answer each."""
Calibration: TypeAlias = Mapping[str, Any]
"""JSON values that a task fits on validation at the end of training, such as a temperature."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Options of a prediction request for raw inputs.

    Attributes:
        count: answers per input, best first, for tasks that have several.
        sample: whether answers are sampled instead of searched for.
        seed: seed of the sampling.
        temperature, top_k, top_p: see `layers.decoding.Sampler`.
        beams: overrides the beam size of the run if not None.
        xla: whether to compile with XLA, which takes seconds for each shape; None: if there are many inputs.
        folder: files that inputs name are searched for here first, then in the working directory.
        score_threshold: lowest score of a detection, 0 to 1; None for that of the run.
        suppression_iou: largest IoU of two detections of one class, 0 to 1; None for that of the run.
        max_detections: most detections of an image; None for those of the run.
    """

    count: int = 1
    sample: bool = False
    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    beams: int | None = None
    xla: bool | None = None
    folder: Path | None = None
    score_threshold: float | None = None
    suppression_iou: float | None = None
    max_detections: int | None = None

    @property
    def is_of_detections(self) -> bool:
        """Whether an option is given that only detectors have."""
        return any(
            value is not None for value in (self.score_threshold, self.suppression_iou, self.max_detections)
        )


class Metric(NamedTuple):
    """A metric that evaluations can be ranked by.

    Attributes:
        higher_is_better: the direction of the metric.
        needs_predictions: whether it is computed from whole predictions, which are made at every evaluation
            only with `eval.decode: every`.
    """

    higher_is_better: bool
    needs_predictions: bool = False


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One system compared with the first.

    Attributes:
        name: name of the system.
        metric: name of the metric.
        value: value of the metric.
        interval: half the width of its 95 % interval.
        p_value: probability of a difference to the first system at least this large under the null
            hypothesis that there is none; None for the first system.
    """

    name: str
    metric: str
    value: float
    interval: float
    p_value: float | None


class WorstExample(NamedTuple):
    """An example with bad predictions.

    Attributes:
        name: file name or number of the example.
        values: what is wrong, JSON-serializable.
        text: the same, human-readable.
        picture: <uint8>[height, width, 3]; None for a task that does not draw.
    """

    name: str
    values: Mapping[str, Any]
    text: str
    picture: Any = None
