"""Types that tasks exchange with the other packages. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

PredictFn: TypeAlias = Callable[[dict[str, Any]], Any]
"""From the inputs of a batch to the model's predictions for its examples."""
Predictor: TypeAlias = Callable[..., list[dict[str, Any]]]
"""From raw inputs (texts, or paths of images) to one JSON-serializable answer each.

For a `Request` with prefixes, these are the second argument: the beginning of each answer. For one that
samples, the argument `numbers` has a number of each input, on which and the seed its samples depend.
"""
Scorer: TypeAlias = Callable[[Sequence[str], Sequence[str]], list[dict[str, Any]]]
"""From raw inputs and given answers to one JSON-serializable score each."""
ERROR = "error"
"""Key of the answer to an input that cannot be used: why there is no answer."""
Calibration: TypeAlias = Mapping[str, Any]
"""JSON values that a task fits on validation at the end of training, such as a temperature."""


def _option(name: str, default: Any) -> Any:
    """Returns a field that an option of the command line sets."""
    return dataclasses.field(default=default, metadata={"option": name})


@dataclasses.dataclass(frozen=True)
class Request:
    """Options of a prediction request for raw inputs. A task says in `answer_options` which it fulfills.

    Attributes:
        count: answers per input, best first, for tasks that have several.
        top: classes per input with their probabilities, best first; None for all of them, unordered.
        beams: overrides the beam size of the run if not None.
        has_prefixes: whether each input comes with the beginning of its answer.
        sample: whether answers are sampled instead of searched for.
        seed: seed of the sampling.
        temperature, top_k, top_p: see `layers.decoding.Sampler`.
        score_threshold: lowest score of a detection, 0 to 1; None for that of the run.
        suppression_iou: largest IoU of two detections of one class, 0 to 1; None for that of the run.
        max_detections: most detections of an image; None for those of the run.
        xla: whether to compile with XLA, which takes seconds for each shape; None: if there are many inputs.
    """

    count: int = _option("--count", 1)
    top: int | None = _option("--top", None)
    beams: int | None = _option("--beams", None)
    has_prefixes: bool = _option("--prefix", False)
    sample: bool = _option("--sample", False)
    seed: int = _option("--seed", 0)
    temperature: float = _option("--temperature", 1.0)
    top_k: int | None = _option("--top-k", None)
    top_p: float = _option("--top-p", 1.0)
    score_threshold: float | None = _option("--threshold", None)
    suppression_iou: float | None = _option("--iou", None)
    max_detections: int | None = _option("--max-detections", None)
    xla: bool | None = None

    def given_options(self) -> dict[str, str]:
        """Returns field -> option of the command line, for those whose value is not the default.

        Examples:
            >>> Request(beams=3, score_threshold=0.5).given_options()
            {'beams': '--beams', 'score_threshold': '--threshold'}
        """
        return {
            field.name: field.metadata["option"]
            for field in dataclasses.fields(self)
            if "option" in field.metadata and getattr(self, field.name) != field.default
        }


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
