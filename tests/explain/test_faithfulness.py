"""Whether what is attended to matters, on a run of which that is known."""

import json

import numpy as np
import pytest

from attnzoo.cli.attend import FAITHFULNESS_EXAMPLES, print_faithfulness
from attnzoo.errors import UserError
from attnzoo.explain.faithfulness import Curve, Faithfulness, removal_orders, remove_tokens
from attnzoo.explanation import Explanation
from tests.thinned import thinned


def test_removing_the_attended_token_changes_the_prediction_and_others_do_not(known, capsys):
    result = Explanation(known).faithfulness(None, FAITHFULNESS_EXAMPLES)
    assert (result.split, result.examples, result.layer) == ("test", 18, "pooling")
    # Half of the texts are English: they turn German without their signal, German ones stay German.
    assert result.attention.changed == [0.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    np.testing.assert_allclose(result.attention.probability, [1.0, 0.5, 0.5, 0.5, 0.5, 0.5], atol=1e-3)
    assert result.attention.area == pytest.approx(0.5 * 5 / 6, abs=1e-3)
    assert result.least.changed == [0.0] * 6
    assert result.least.area == pytest.approx(0.0, abs=1e-3)
    assert result.least.area < result.random.area < result.attention.area
    assert result.random.area == pytest.approx(np.mean(result.random_areas))
    assert result.advantage == pytest.approx(result.attention.area - result.random.area)
    assert result.meaning.startswith("Attention is better than random")
    given = json.loads(result.to_json())
    assert given["meaning"] == result.meaning
    assert given["attention"]["changed"] == result.attention.changed
    print_faithfulness(result, known)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["0%", "1.0000", "0.0%", "1.0000", "0.0%", "1.0000", "0.0%"] in lines
    assert ["area", *(f"{one.area:.4f}" for one in (result.attention, result.random, result.least))] in lines
    print_faithfulness(result, known, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"run": str(known), **given}


@pytest.mark.parametrize(
    ("advantage", "begin"),
    [
        (0.3, "Attention is better than random"),
        (-0.3, "Attention is worse than random"),
        (0.1, "Attention is no better than random"),
    ],
)
def test_a_difference_within_its_interval_is_none(advantage, begin):
    curve = Curve([1.0], [0.0], 0.0)
    result = Faithfulness("test", 7, "pooling", (0.0,), curve, curve, curve, [0.0], advantage, interval=0.2)
    assert result.meaning.startswith(begin)
    assert "± 0.2000" in result.meaning


def test_tokens_are_removed_in_the_order_of_their_weights_and_one_always_remains():
    weights = np.array([0.1, 0.5, 0.0, 0.4])
    most, least, *random = removal_orders(weights, index=3)
    assert most.tolist() == [1, 3, 0, 2]
    assert least.tolist() == [2, 0, 3, 1]
    assert [sorted(order.tolist()) for order in random] == [[0, 1, 2, 3]] * 5
    assert len({tuple(order) for order in random}) > 1
    row = np.array([7, 8, 9, 10], np.int32)
    assert remove_tokens(row, most, 0.0).tolist() == [7, 8, 9, 10]
    assert remove_tokens(row, most, 0.05).tolist() == [7, 9, 10]
    assert remove_tokens(row, most, 0.5).tolist() == [7, 9]
    assert remove_tokens(row[:1], np.array([0]), 0.5).tolist() == [7]
    evenly = {tuple(removal_orders(np.ones(3), index)[0]) for index in range(11)}
    assert len(evenly) > 1


@pytest.mark.parametrize("name", thinned(["translation", "image"], 2))
def test_tasks_without_such_texts_are_refused_in_one_line(runs, name):
    with pytest.raises(UserError, match=r"a run of (image_class|trans).*; --faithfulness is only for single"):
        Explanation(runs[name]).faithfulness(None, 3)
