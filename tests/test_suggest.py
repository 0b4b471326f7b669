import itertools

import pytest

from attnzoo import suggest
from attnzoo.suggest import did_you_mean, hint, nearest


def test_the_nearest_word_is_suggested_only_when_it_is_near():
    assert nearest("lable", ["text", "label"]) == "label"
    assert nearest("zzz", ["text", "label"]) is None
    assert did_you_mean("lable", ["text", "label"]) == " (did you mean 'label'?)"
    assert did_you_mean("zzz", ["text", "label"]) == ""


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("lable", ["text", "label"], "did you mean 'label'?"),
        ("zzz", ["text", "label"], "expected one of label, text"),
        ("zzz", {"b": 1, "a": 2}, "expected one of a, b"),
        ("zzz", [], "there is none"),
    ],
)
def test_a_hint_is_the_nearest_word_or_all_of_them_sorted(word, known, expected):
    assert hint(word, iter(known)) == expected


def test_of_names_without_end_the_first_are_compared():
    names = (f"column {number}" for number in itertools.count())
    assert nearest("colum 7", names) == "column 7"
    assert next(names) == f"column {suggest.MAX_COMPARED}"
