"""Text in, a number out.

Imports no TensorFlow before it is asked for its work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from etils import epy

from attnzoo.config import sections
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.features.number import Number
from attnzoo.features.text import Text
from attnzoo.tasks.regressor import RegressionTask
from attnzoo.tasks.task import PredictFn, Predictor, Request

with epy.lazy_imports():
    import keras

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline
    from attnzoo.explain import text as text_view
    from attnzoo.layers import scores as layer_scores
    from attnzoo.tasks import target_predictions

SHOWN_CHARACTERS = 200


class TextRegression(RegressionTask):
    """Text in, a number out."""

    name: ClassVar[str] = "text_regression"
    features: ClassVar[Mapping[str, Feature]] = {"text": Text(), "label": Number()}
    input_name: ClassVar[str] = "text"

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        count: int,
    ) -> list[dict[str, str]]:
        """Returns the first `count` texts with their number and what the model says."""
        texts = examples.raw.column("text")
        rows = self.number_rows(predict, examples, info, sizes, count)
        return [{"text": texts[index][:SHOWN_CHARACTERS], **row} for index, row in rows]

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> text_view.TextView | None:
        """Returns what shows where the model attends in texts; None if it never does."""
        if layer is None and not layer_scores.attention_names(model):
            return None
        return text_view.TextView(model, info, layer)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from texts to `number`."""
        predict = self.predict_fn(models, info, options, bool(request.xla))
        return target_predictions.text_predictor(predict, info, info.features["label"])
