"""One file a task: loss, metrics, readable rows, exported signature.

A task module has:
    MONITOR, HIGHER_IS_BETTER: the metric that selects the best weights, and its direction.
    COUNTED: what a loss is averaged over, for people ("examples", "tokens").
    sums(model, inputs, targets, training, label_smoothing, r_drop=0.0): metric -> <float32>[2], a numerator
        and a denominator. "loss" is one of them: it is what training minimises, divided by its denominator
        over the whole batch. With `r_drop` the batch is the same examples twice, and "divergence" another.
    predictor(models, info, options, xla): a function from inputs to predictions, `predict` below, of one
        model or of several together; `options` is the eval section, `xla` whether long loops are compiled.
    predictions(predict, examples, info, sizes): what is predicted for a whole split, in its order; None where
        that is too much to hold.
    corpus_metrics(found, examples, info, options, temperature): metrics of such predictions; signatures are
        texts. `temperature` divides the logits of a classifier; None where there is none.
    confusion_matrix(found, examples, info), fit_temperature(found, examples): for tasks about labels.
    rows(predict, examples, info, sizes, count): sample predictions for people, one dict a row.
    attention_picture(model, info): a function from examples and a count to a picture of where the model
        attends, or None; may be left out.
    attention_rows(model, info): a function from examples and a count to rows as above, of where the model
        attends; a cell may also be a list of (text, whether it stands out). None where the model has no
        attention. Only tasks whose attention is shown in training have it.
    answerer(models, info, options, request): a function from texts to an answer each, for tasks that answer
        texts.
    serving(model, info, options): a `tf.Module` whose `signatures()` an export holds; not of masked text.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def load(name: str) -> ModuleType:
    """Returns the module of a task."""
    return importlib.import_module(f"attnzoo.tasks.{name}")
