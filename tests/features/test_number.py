"""Numbers: what is read as one, and what a model gives and takes."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.features.number import Number
from tests.features.columns import OPTIONS, batch, learned, problems, read


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("3", 3.0),
        ("2.5", 2.5),
        (" 4 ", 4.0),
        ("-1.5e-3", -0.0015),
        ("+.5", 0.5),
        (7, 7.0),
        (2.25, 2.25),
        (-11, -11.0),
    ],
)
def test_decimal_digits_and_json_numbers_are_read(value, number):
    assert read(Number(), value) == number
    assert isinstance(read(Number(), value), float)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("", "''"),
        (" ", "' '"),
        ("two", "'two'"),
        ("nan", "'nan'"),
        ("inf", "'inf'"),
        ("-Infinity", "'-Infinity'"),
        ("1_000", "'1_000'"),
        ("1,000", "'1,000'"),
        ("2,5", "'2,5'"),
        ("٣", "'٣'"),
        ("0x10", "'0x10'"),
        ("1e39", "'1e39'"),
        ("9" * 400, "'" + "9" * 57 + "...'"),
        ("a\nb", r"'a\nb'"),
        (True, "true"),
        (None, "null"),
        ([3], "[3]"),
        ({"a": 1}, '{"a": 1}'),
        (10**400, "1" + "0" * 39),
        (float("inf"), "Infinity"),
        (4e38, "4e+38"),
    ],
    ids=repr,
)
def test_anything_else_is_refused_with_what_it_is(value, got):
    message = f"folder/table.csv:7: 'column' must be a number such as 3 or 2.5; got {got}."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$") as caught:
        read(Number(), value)
    assert caught.value.reason == "without a number"


def test_mean_and_standard_deviation_are_learned_and_numbers_come_back_in_batches():
    number, column = learned(Number(), ["3", " 5 ", "11", "13"])
    assert column.dtype == np.float64
    assert (number.mean, number.std) == pytest.approx((8.0, np.sqrt(17.0)))
    assert number.num_outputs == 1
    assert number.summary("label") == "label of 8 ± 4.123"
    encoded = number.encode(column)
    np.testing.assert_array_equal(batch(number, encoded, [2, 0, 2]), [11.0, 3.0, 11.0])
    standard = number.standardize(column)
    assert (standard.mean(), standard.std()) == pytest.approx((0.0, 1.0), abs=1e-6)
    np.testing.assert_allclose(number.activate(tf.constant(standard[:, None]))[:, 0], column, rtol=1e-6)


def test_the_mean_of_many_large_numbers_is_exact():
    column = np.full(1_000_003, 16_777_216.0, np.float32)
    column[0] = 0.0
    number = Number().learn([column], OPTIONS, None, "train.csv")
    assert number.mean == pytest.approx(column.astype(np.float64).mean(), rel=1e-12)


def test_of_one_single_value_there_is_nothing_to_learn():
    message = "train.csv: every example has the number 2.5 in column 'column'; there is nothing to learn."
    with pytest.raises(UserError, match=re.escape(message)):
        learned(Number(), ["2.5", "2.50", "2.5"])
    with pytest.raises(UserError, match=r"train\.csv: every example has the number 3; there is nothing to"):
        Number().learn([np.full(5, 3.0, np.float32)], OPTIONS, None, "train.csv")
    # The deviation of these is above 0 by rounding.
    with pytest.raises(UserError, match=r"every example has the number 4\.1"):
        Number().learn([np.full(37, 4.1)], OPTIONS, None, "train.csv")


def test_large_numbers_that_differ_by_little_are_learned_as_they_are():
    number, column = learned(Number(), ["1700000000", "1700000010"])
    assert (number.mean, number.std) == (1700000005.0, 5.0)
    np.testing.assert_allclose(number.standardize(column), [-1.0, 1.0])


def test_an_answer_is_the_number_for_programs_and_for_people():
    number = Number(mean=3.0, std=2.0)
    values = np.array([1234.5678], np.float32)
    assert number.answer(values) == {"number": pytest.approx(1234.5678)}
    assert number.prediction_texts(values) == [("1234.57", "")]
    assert number.alternatives(values) == []
    assert number.is_correct(values, 1234.5678) is None
    assert number.true_answer(np.float32(2.5)) == {"true_number": 2.5}
    assert number.true_answer(None) == {"true_number": None}
    assert number.format_value(np.float32(0.1234567)) == "0.123457"


def test_quantiles_and_moments_are_reported():
    number, column = learned(Number(), [2, 3, 5, 7, 13])
    statistics = number.describe("label", column, number.encode(column))
    assert statistics == {
        "numbers": {
            "label": {
                **{"least": 2.0, "25 %": 3.0, "median": 5.0, "75 %": 7.0, "greatest": 13.0},
                **{"mean": 6.0, "std": pytest.approx(np.sqrt(15.2))},
            }
        }
    }


def test_statistics_that_no_numbers_have_are_found():
    assert problems(Number(mean=-3.0, std=0.5)) == []
    for mean, std in ((0.0, 0.0), (0.0, -1.0), (np.inf, 1.0), (np.nan, 1.0), (0.0, np.inf), (0.0, np.nan)):
        found = problems(Number.model_construct(mean=mean, std=std))
        assert found == ["column.mean, column.std: expected finite numbers, std above 0"]
    assert len(problems(Number())) == 1
