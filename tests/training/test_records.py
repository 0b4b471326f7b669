"""Rows for people, as TensorBoard shows them."""

from attnzoo.training.records import LONGEST_CELL, table, trial_id


def test_rows_are_a_table_in_which_signs_of_markdown_are_themselves():
    rows = [{"text": "a|b", "label": [("x", False), ("y*", True)]}, {"text": "<b>", "label": "z"}]
    assert table(rows).splitlines() == [
        "| text | label |",
        "| --- | --- |",
        "| a&#124;b | x **y&#42;** |",
        "| &#60;b&#62; | z |",
    ]
    assert table([]) == "(no rows)"


def test_rows_with_a_long_cell_are_paragraphs_short_cells_first():
    long = [("word", True), *[("next", False)] * (LONGEST_CELL // 4)]
    found = table([{"tokens": long, "label": "neg", "predicted": "pos"}, {"tokens": "a", "label": "b"}])
    first, second = found.split("---\n\n")[1:]
    assert first.startswith("label: neg \u00b7 predicted: pos\n\ntokens: **word** next next")
    assert second.strip() == "tokens: a \u00b7 label: b"


def test_runs_of_one_name_in_two_folders_are_two_trials(tmp_path):
    one, other = (trial_id(tmp_path / name / "run") for name in ("a", "b"))
    assert one != other
    assert one.startswith("run-")
    assert str(tmp_path) not in one
