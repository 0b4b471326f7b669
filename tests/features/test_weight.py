"""Weights of examples in the training loss."""

import re

import numpy as np
import pytest

from attnzoo.errors import UserError
from attnzoo.features.weight import Weight
from attnzoo.records.bad_records import BadRecord
from tests.features.columns import LOCATION, OPTIONS, learned, problems, read


def test_weights_have_a_mean_of_1_over_train():
    weight, column = learned(Weight(), ["1", "0", " 2.5 ", 4.5])
    assert (weight.mean, weight.least, weight.greatest) == (2.0, 0.0, 4.5)
    assert weight.encode(column).tolist() == [0.5, 0.0, 1.25, 2.25]
    assert weight.encode(column).dtype == np.float32
    assert weight.summary("weight") == "weights of 0 to 4.5 in the training loss"
    assert list(weight.data_notes({})) == []
    assert weight.describe("weight", column, weight.encode(column))["numbers"]["weight"]["greatest"] == 4.5
    assert (weight.is_optional, weight.in_batches, weight.is_weight) == (True, False, True)
    with pytest.raises(
        NotImplementedError, match="weights of examples are not among the features of batches"
    ):
        weight.graph_batch(column)


@pytest.mark.parametrize(
    ("value", "got"),
    [("-1", "'-1'"), ("", "''"), ("nan", "'nan'"), ("inf", "'inf'"), (True, "true"), (None, "null")],
)
def test_what_is_no_weight_is_refused(value, got):
    message = f"{LOCATION}: 'column' must be a weight of at least 0, such as 1 or 0.5; got {got}."
    with pytest.raises(BadRecord, match=re.escape(message)):
        read(Weight(), value)


def test_weights_that_are_all_0_are_refused_and_equal_ones_noted():
    with pytest.raises(UserError, match=r"train\.csv: every example has the weight 0; expected some above 0"):
        Weight().learn([np.zeros(3)], OPTIONS, None, "train.csv")
    (line,) = learned(Weight(), ["2", "2"])[0].data_notes({})
    assert line == "every example of train has the weight 2, which changes nothing."
    thirds, _ = learned(Weight(), ["0.1"] * 3)  # of which NumPy's mean is above 0.1
    assert (thirds.mean, problems(thirds)) == (0.1, [])


def test_weights_that_no_data_has_are_found():
    assert problems(Weight(mean=1.0, least=0.0, greatest=3.0)) == []
    for state in ({}, {"mean": 2.0, "greatest": 1.0}, {"mean": 1.0, "greatest": 1e400, "least": -1.0}):
        assert problems(Weight.model_construct(**state)) == [
            "column.mean: expected a number above 0, from column.least to column.greatest"
        ]
