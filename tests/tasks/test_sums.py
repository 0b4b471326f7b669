import math

import numpy as np
import pytest

from attnzoo.tasks.sums import to_metrics


def test_a_metric_without_examples_is_not_a_number_and_never_a_zero():
    assert math.isnan(to_metrics({"loss": np.zeros(2)})["loss"])


def test_perplexity_belongs_to_losses_of_tokens():
    metrics = to_metrics({"loss": np.array([6.0, 3.0]), "token_accuracy": np.array([1.0, 2.0])})
    assert metrics == {"loss": 2.0, "token_accuracy": 0.5, "perplexity": pytest.approx(math.exp(2.0))}
