"""Tables as people have them: other delimiters, encodings and quotes, names that are missing."""

import warnings

import pytest

from attnzoo import tasks
from attnzoo.data.datasets import csv
from attnzoo.errors import ConfigErrors, DataWarning, UserError
from attnzoo.records.text_records import Columns, read_texts, text_format
from tests import recipes

FEATURES = tasks.load("text_classification").features
ROWS = "good morning,en\nguten morgen,de\n"


def load(folder, content, name="train.csv", encoding="utf-8", **options):
    path = folder / name
    path.write_bytes(content.encode(encoding))
    splits = csv.load(csv.Config(name="csv", train=str(path), **options), FEATURES, 0)
    train = splits.train
    labels = splits.features["label"].names
    return list(zip(train.column("text"), (labels[number] for number in train.column("label")), strict=True))


EXPECTED = [("good morning", "en"), ("guten morgen", "de")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("text,label,,\ngood morning,en,,\nguten morgen,de,,\n", {}),
        ("a,text,a,label\n1,good morning,2,en\n1,guten morgen,2,de\n", {}),
        ("text;label\ngood morning;en\nguten morgen;de\n", {"delimiter": ";"}),
        ("text, label\ngood morning, en\nguten morgen, de\n", {}),
        ('text, label\n"good morning", "en"\n"guten morgen", "de"\n', {}),
        ("text , label\ngood morning, en\nguten morgen, de\n", {}),
        ('"text", "label"\n"good morning", "en"\n"guten morgen", "de"\n', {}),
        (ROWS, {"columns": ["text", "label"]}),
        (ROWS.replace(",", ";"), {"columns": ["text", "label"], "delimiter": ";"}),
    ],
    ids=["unnamed", "other twice", "semicolons", "spaces", "quotes", "before", "all", "no header", "both"],
)
def test_tables_are_read_as_they_come(tmp_path, content, options):
    assert load(tmp_path, content, **options) == EXPECTED


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_that_the_header_shows_is_used_and_reported(tmp_path, delimiter):
    content = ("text,label\n" + ROWS).replace(",", delimiter)
    with pytest.warns(
        DataWarning, match=r"train\.csv: the header suggests the delimiter .* data\.delimiter: "
    ):
        assert load(tmp_path, content) == EXPECTED


def test_suffixes_are_read_in_capitals_too(tmp_path):
    assert load(tmp_path, "text,label\n" + ROWS, name="TRAIN.CSV") == EXPECTED
    assert text_format("x.CSV") == "csv"
    assert [one.text for one in read_texts(str(tmp_path / "TRAIN.CSV"), "csv", Columns("text"))] == [
        "good morning",
        "guten morgen",
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "gb18030", "UTF8"])
def test_files_of_another_encoding_are_read_if_it_is_named(tmp_path, encoding):
    content = "text,label\r\ncafé,en\r\nnaïve idea,de\r\n"
    path = tmp_path / "train.csv"
    path.write_bytes(content.encode(encoding))
    options = csv.Config(name="csv", train=str(path), encoding=encoding)
    assert csv.load(options, FEATURES, 0).train.column("text").tolist() == ["café", "naïve idea"]


def test_a_file_of_another_encoding_is_refused_with_the_likely_one(tmp_path):
    content = "text,label\n" + "Das Mädchen fährt über die Brücke nach Österreich,de\nCafé crème,fr\n" * 20
    with pytest.raises(UserError, match=r"csv:2: not UTF-8: .* or set data\.encoding: cp125\d if that"):
        load(tmp_path, content, encoding="cp1252")


def test_a_wrong_encoding_is_one_line(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes("text,label\ngrün,de\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"invalid ascii somewhere after line \d \(.*\); set data\.encoding"):
        csv.load(csv.Config(name="csv", train=str(path), encoding="ascii"), FEATURES, 0)
    with pytest.raises(ConfigErrors, match="expected an encoding such as utf-8 or cp1252, received"):
        recipes.text_config(tmp_path, "data.encoding=cp99999")


STRAY = 'text,label\n5" screen is fine,en\n' + ROWS + 'a 7" one,de\n'


def test_stray_quotes_inside_fields_are_parts_of_texts(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load(tmp_path, STRAY)) == 4


SWALLOWED = 'text,label\n"one,en\n' + ROWS * 3 + 'last",de\nmore,en\n'


def test_rows_between_two_stray_quotes_are_reported_and_kept_if_quotes_are_none(tmp_path):
    with pytest.warns(DataWarning, match=r":2: 1 record\(s\), .* span 7 lines .*data\.quoting: none"):
        assert len(load(tmp_path, SWALLOWED)) == 2
    assert len(load(tmp_path, SWALLOWED, quoting="none")) == 9


@pytest.mark.filterwarnings("error")
def test_texts_of_several_lines_are_no_swallowed_rows(tmp_path):
    letter = '"Dear all,\nthank you for the cake, the tea\nand all.\n\nBest, Ann",en\nguten morgen,de\n'
    assert len(load(tmp_path, "text,label\n" + letter)) == 2


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "3,soup\n2,tea\n",
            {},
            r":1: no column 'text'.*If the file has no header, .* data\.columns",
        ),
        ("a b\n", {}, r"Fields were split at ','; set data\.delimiter for another"),
        (
            "text,label\n" + ROWS,
            {"columns": ["text", "label"]},
            r":1: this line names the columns; remove",
        ),
        (ROWS, {"columns": ["title", "label"]}, r"no column 'text'.* data\.columns has: title, label"),
        ("a,b,c\n", {"columns": ["text", "label"]}, r":1: 3 columns; data\.columns has 2"),
        ("text,label,label\na,b,c\n", {}, r"column 'label' occurs 2 times"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path, content, options, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, content, **options)
