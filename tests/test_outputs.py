"""How answers are written: as lines, JSON Lines or a table, and what is said of those without a value."""

import csv
import json
import os
from pathlib import Path

import pytest

from attnzoo.cli.inputs import Inputs
from attnzoo.cli.outputs import CSV, JSON, TEXT, AnswerWriter, Output, Report, choose_output, write_answers
from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_records import TextRecord

NULL = {"label": None, "probabilities": None}
BAD = BadRecord("a.csv:3", "with an empty text", "the text is empty.")
ANSWERS = [
    (TextRecord("x", 1, "a.csv:2"), {"id": 1, "label": "ä,b", "probabilities": {"ä,b": 0.75}}),
    (TextRecord("", 2, "a.csv:3", problem=BAD), {"id": 2, **NULL, "error": str(BAD)}),
    (TextRecord("z", None, "b.txt:1"), {"label": "c", "probabilities": {}}),
]


def written(format, are_records=True, are_located=True, to_table=None):
    inputs = Inputs(iter(()), [], False, are_records, are_located)
    to_table = to_table or (lambda answer: ([*answer], [[*answer.values()]]))
    writer = AnswerWriter(format, lambda answer: answer["label"], to_table, NULL, inputs)
    return [writer.head(), *(writer.lines(record, answer) for record, answer in ANSWERS)]


def test_every_format_has_a_line_for_an_input_without_an_answer():
    assert written(TEXT) == [None, "ä,b", "", "c"]
    _, *lines = written(JSON, are_located=False)
    assert [json.loads(line) for line in lines] == [answer for _, answer in ANSWERS]
    assert json.loads(written(JSON)[3])["location"] == "b.txt:1"
    assert list(csv.reader(written(CSV))) == [
        ["id", "location", "label", "probabilities", "error"],
        ["1", "a.csv:2", "ä,b", '{"ä,b": 0.75}', ""],
        ["2", "a.csv:3", "", "", "a.csv:3: the text is empty."],
        ["", "b.txt:1", "c", "{}", ""],
    ]


def test_a_table_has_as_many_rows_as_an_answer_gives():
    lines = written(CSV, False, False, lambda answer: (["label"], [["a"], ["b"]] if answer["label"] else []))
    assert lines == ["label,error", "a,\nb,", None, "a,\nb,"]


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (None, Output(TEXT)),
        ("a.CSV", Output(CSV, Path("a.CSV"))),
        ("a.jsonl", Output(JSON, Path("a.jsonl"))),
        ("drawn", Output(TEXT, folder=Path("drawn"))),
        ("v1.5", Output(TEXT, folder=Path("v1.5"))),
    ],
)
def test_the_suffix_says_what_an_output_is(empty_folder, out, expected):
    (empty_folder / "v1.5").mkdir()
    assert choose_output(out and Path(out), False, False, TEXT, has_pictures=True) == expected


def test_a_file_of_answers_replaces_another_when_all_are_there_that_there_will_be(tmp_path, capsys):
    inputs = Inputs(iter(()), [], False, False, False)
    file = tmp_path / "answers.txt"
    file.write_text("old\n")
    writer = AnswerWriter(TEXT, lambda answer: answer["label"], lambda answer: ([], []), NULL, inputs)

    def broken(answers):
        yield from answers
        raise UserError("broken", 4)

    for answers, error in ((iter((ANSWERS[0], None)), TypeError), (broken(ANSWERS[:0]), UserError)):
        with pytest.raises(error):
            write_answers(answers, Output(TEXT, file), writer, strict=False)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["old\n"]
    with pytest.raises(UserError, match="broken") as caught:
        write_answers(broken(ANSWERS[:2]), Output(TEXT, file), writer, strict=True)
    assert caught.value.exit_code == 4
    assert [path.read_text() for path in tmp_path.iterdir()] == ["ä,b\n\n"]
    noted, warned = capsys.readouterr().err.splitlines()
    assert noted == f"attnzoo: note: 2 answers are in {file}"
    assert warned.startswith("attnzoo: warning: 1 of 2 inputs has no answer")
    with pytest.raises(UserError, match="1 of 3 inputs has no answer: 1 with an empty text"):
        write_answers(iter(ANSWERS), Output(TEXT, file), writer, strict=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["ä,b\n\nc\n"]
    assert capsys.readouterr().err == f"attnzoo: note: 3 answers are in {file}\n"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", None])
def test_a_file_name_that_is_not_utf_8_does_not_end_the_answers(tmp_path, capfd, name):
    """Python reads such names with lone surrogates; JSON has an escape for these."""
    inputs = Inputs(iter(()), [], False, False, True)
    image = os.fsdecode(b"caf\xe9.png")
    output = Output(CSV if name == "a.csv" else JSON, name and tmp_path / name)
    writer = AnswerWriter(
        output.format, str, lambda answer: ([*answer], [[*answer.values()]]), {"image": None}, inputs
    )
    answers = [(TextRecord(image, location=image), {"image": image}), (TextRecord("ä"), {"image": "ä"})]
    write_answers(answers, output, writer, strict=False)
    first, second = (capfd.readouterr().out if name is None else output.file.read_text()).splitlines()[-2:]
    if output.format == JSON:
        assert json.loads(first) == {"location": image, "image": image}
    else:
        assert first == "caf\\udce9.png,caf\\udce9.png,"
    assert "ä" in second


def test_a_file_of_a_run_is_not_replaced(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"attnzoo": "1"}')
    for name in ("metrics.jsonl", "answers.jsonl"):
        (run / name).write_text("{}\n")
        (tmp_path / name).write_text("{}\n")
    for file in (run / "answers.jsonl", tmp_path / "metrics.jsonl", run / "new.csv"):
        assert choose_output(file, False, False, TEXT, has_pictures=False).file == file
    with pytest.raises(UserError, match=r"metrics\.jsonl: a file that the run needs itself; choose another"):
        choose_output(run / "metrics.jsonl", False, False, TEXT, has_pictures=False)


def test_a_report_counts_by_reason_and_names_the_first(capsys):
    report = Report()
    for record, answer in [*ANSWERS, *ANSWERS]:
        report.add(record, {**answer, "truncated": record.id == 1})
    report.finish(strict=False)
    truncated, unanswered = capsys.readouterr().err.splitlines()
    assert truncated.startswith("attnzoo: warning: 2 of the inputs are longer than the model reads")
    assert unanswered == (
        "attnzoo: warning: 2 of 6 inputs have no answer: 2 with an empty text (first: a.csv:3: the text is "
        "empty.)"
    )
