"""Files, patterns and lists of them."""

import re

import pytest

from attnzoo.config.paths import align, expand, matching, origin_of
from attnzoo.errors import UserError


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Makes empty files and goes where they are."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()

    return make


def test_files_come_in_the_order_of_the_list_and_those_of_a_pattern_by_name_each_once(parts):
    parts("part2.csv", "part1.csv", "part10.csv", "deep/part3.csv", "other.tsv")
    parts("partfolder.csv/inside")
    expected = ["other.tsv", "part1.csv", "part10.csv", "part2.csv", "deep/part3.csv"]
    assert expand(["other.tsv", "part*.csv", "deep/*", "part2.csv"]) == expected
    assert expand("**/part3.csv") == ["deep/part3.csv"]
    assert expand(None) == []


def test_a_name_with_brackets_is_a_file_where_there_is_one_and_else_a_pattern(parts):
    parts("a[1].csv", "b1.csv")
    assert matching("a[1].csv") == ["a[1].csv"]
    assert matching("b[1].csv") == ["b1.csv"]
    assert matching("c[1].csv") == ["c[1].csv"]


def test_patterns_of_two_sides_pair_up_by_what_their_wildcards_stand_for(parts):
    parts("x1.en", "x2.en", "de/x2", "de/x1")
    assert align(["x*.en", "de/x?"]) == [("x1.en", "de/x1"), ("x2.en", "de/x2")]
    assert align(["x2.en", "de/x1"]) == [("x2.en", "de/x1")]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["x*.en", "x*.de"], "x2.en: no file of x*.de goes with it; add it, or name the files one by one."),
        (["x*.de", "x*.fr"], "x3.fr: no file of x*.de goes with it"),
        (["x*.en", "y*.de"], "y*.de: no file matches (it is relative to "),
        (["x*.en", "x1.de"], "x*.en and x1.de: expected files on all sides, or patterns on all."),
    ],
)
def test_files_without_another_side_are_named(parts, patterns, message):
    parts("x1.en", "x2.en", "x1.de", "x1.fr", "x3.fr")
    with pytest.raises(UserError, match=re.escape(message)):
        align(patterns)


def test_messages_name_few_files_and_count_many():
    assert origin_of(["a.csv"]) == "a.csv"
    assert origin_of([f"{number}.csv" for number in range(7)]) == "0.csv and 6 more files"
