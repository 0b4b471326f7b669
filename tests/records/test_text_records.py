"""Inputs of predictions: every record is given, with the reason if it cannot be used."""

import threading

import pytest

from attnzoo.errors import UserError
from attnzoo.records.chunks import chunks, live_chunks
from attnzoo.records.text_records import Columns, input_files, read_pairs, read_texts


def read(path, content, format="jsonl", **columns):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_texts(str(path), format, Columns(**{"text": "text", **columns})))


def reasons(records):
    return [record.problem and record.problem.reason for record in records]


def test_records_that_cannot_be_used_are_among_the_others_with_their_ids(tmp_path):
    lines = [
        '{"id": 1, "text": "a"}',
        '{"id": 2, "text": null}',
        '{"id": "x", "text": 7}',
        "nonsense",
        "",
        '{"id": 0.5, "text": "b"}',
        '{"id": 6}',
        '{"text": "c"}',
    ]
    records = read(tmp_path / "a.jsonl", "\n".join(lines))
    assert [record.id for record in records] == [1, 2, "x", None, None, 6, None]
    assert [record.text for record in records if not record.problem] == ["a", "c"]
    wrong = "with a value of the wrong type"
    expected = [None, "with an empty text", wrong, "not JSON", wrong, "with a missing key", None]
    assert reasons(records) == expected
    assert str(records[4].problem) == (
        f"{tmp_path}/a.jsonl:6: 'id' must be a string or a whole number; got 0.5."
    )


def test_lines_that_are_no_text_are_among_the_others(tmp_path):
    content = b"a\n\xff\n\n" + b"x" * (1 << 20) + b"y\r\nb\0\nc\r\n"
    records = read(tmp_path / "a.txt", content, "text")
    assert [record.text for record in records if not record.problem] == ["a", "c"]
    expected = [
        None,
        "not UTF-8",
        "with an empty text",
        "with an overlong text",
        "with a NUL character",
        None,
    ]
    assert reasons(records) == expected


def test_ids_and_targets_are_in_columns_of_any_name(tmp_path):
    table = "key,start,text\nk1,,a\nk2,so,b\n"
    records = read(tmp_path / "a.csv", table, "csv", target="start", id="key")
    assert [(record.id, record.target, record.text) for record in records] == [
        ("k1", "", "a"),
        ("k2", "so", "b"),
    ]
    with pytest.raises(UserError, match=r"a\.csv:1: no column 'kay' \(did you mean 'key'\?\)"):
        read(tmp_path / "a.csv", table, "csv", id="kay")
    assert reasons(read(tmp_path / "a.csv", table, "csv", target="start", needs_target=True)) == [
        "with an empty start",
        None,
    ]


def test_a_key_that_no_record_has_is_an_error_of_the_file(tmp_path):
    with pytest.raises(UserError, match=r"a\.jsonl:1: no key 'txt' \(did you mean 'text'\?\)"):
        read(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b"}\n', text="txt")


def test_folders_and_patterns_stand_for_their_files(tmp_path):
    names = ["b.csv", "a.txt", "more/c.jsonl.gz", "more/notes.md", ".hidden.txt", ".git/d.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    listed = [str(tmp_path / name) for name in ("a.txt", "b.csv", "more/c.jsonl.gz")]
    assert input_files(str(tmp_path)) == listed
    assert input_files(f"{tmp_path}/*.txt") == listed[:1]
    assert input_files(listed[0]) == listed[:1]
    assert input_files("-") == ["-"]


def test_pairs_have_the_problem_of_either_side(tmp_path):
    for name, content in (("a", b"one\n\nthree\n"), ("b", b"eins\nzwei\n\xff\n")):
        (tmp_path / name).write_bytes(content)
    records = list(read_pairs(str(tmp_path / "a"), str(tmp_path / "b")))
    assert reasons(records) == [None, "with an empty text", "not UTF-8"]
    assert [(record.text, record.target) for record in records][:1] == [("one", "eins")]
    assert records[2].problem.location == f"{tmp_path}/b:3"


def test_what_is_waiting_is_given_before_more_is_read():
    answered = threading.Event()

    def items():
        yield from "abc"
        assert answered.wait(60)
        yield "d"
        raise UserError("broken")

    given = live_chunks(items(), 2)
    first = []
    while len(first) < 3:  # where lists end depends on the time that items take
        first += next(given)
    assert first == ["a", "b", "c"]
    answered.set()
    assert next(given) == ["d"]
    with pytest.raises(UserError, match="broken"):
        next(given)


def test_items_before_an_error_are_given():
    def items():
        yield from "abc"
        raise UserError("broken")

    given = chunks(items(), 2)
    assert [next(given), next(given)] == [["a", "b"], ["c"]]
    with pytest.raises(UserError, match="broken"):
        next(given)
