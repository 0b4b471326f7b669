"""What a person sees on a terminal of 80 columns while a run trains, and at its end."""

import itertools

import pytest
from rich.cells import cell_len
from rich.progress import Progress

from attnzoo.training import console
from attnzoo.training.console import Display, next_commands_text, print_error_line
from attnzoo.training.run import train
from tests import recipes
from tests.terminal import replace_stream

PATH = "/home/someone/" + "with-long-names/" * 7 + "run"


@pytest.mark.parametrize(
    "text",
    [
        "attnzoo: error: " + "words that fill a line, " * 11 + f"and then {PATH}: not found; check the path.",
        f"run      {PATH} (continuing after step 40)",
        "多义 词汇 " * 30,  # each sign is two columns wide
        "short",
        "",
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_no_word_is_broken_even_if_it_is_longer_than_a_line(monkeypatch, stream, text):
    terminal = replace_stream(monkeypatch, stream)
    if stream == "stderr":
        print_error_line(text)
    else:
        with Display(10, 0, "examples") as display:
            display.line(text)
        assert terminal.lines[-2].startswith("training ━")
    *lines, _ = terminal.lines if stream == "stderr" else terminal.lines[:-1]
    assert " ".join(lines).split() == text.split()
    assert all(cell_len(line) <= 80 or len(line.split()) == 1 for line in lines)
    assert all(
        cell_len(f"{line} {following.split()[0]}") > 80 for line, following in itertools.pairwise(lines)
    )


def test_the_bar_shows_its_state_whole_and_none_that_is_over(monkeypatch):
    terminal = replace_stream(monkeypatch, "stdout")
    monkeypatch.setattr(console, "BAR_SECONDS", 0.0)

    def state():
        display.bar.refresh()
        line = terminal.lines[-1]
        assert len(line) <= 80
        return line.partition("%")[2].strip()

    with Display(1000, 0, "examples") as display:
        display.compiling(1, 3)
        assert state() == "compiling length 1 of 3  0:00"
        display.training()
        assert state() == ""
        display.step(20, 0.51234, 12345.6)
        loss = state()
        assert loss.startswith("loss 0.5123  12,346 examples/s  0:0")
        assert loss.endswith(" left")
        display.evaluation()("evaluating", 98, 100)
        assert state().startswith("evaluating: batch 98 of 100")
        display.training()
        assert state() == loss
    assert "evaluating" not in terminal.lines[-2]


def test_next_commands_stay_whole_and_what_they_are_for_goes_below_where_they_are_long(monkeypatch):
    replace_stream(monkeypatch, "stdout")
    short = [("attnzoo eval run", "evaluate"), ("attnzoo export run", "write a SavedModel")]
    assert next_commands_text(short).splitlines()[1:] == [
        "  attnzoo eval run    evaluate",
        "  attnzoo export run  write a SavedModel",
    ]
    text = next_commands_text([*short, (f"attnzoo predict {PATH} FILE", "predict for texts, one per line")])
    assert text.splitlines() == [
        "next:",
        *("  attnzoo eval run", "      evaluate", "  attnzoo export run", "      write a SavedModel"),
        *(f"  attnzoo predict {PATH} FILE", "      predict for texts, one per line"),
    ]


def test_nothing_is_printed_below_the_next_commands_of_a_training(tmp_path, monkeypatch):
    terminal = replace_stream(monkeypatch, "stdout")
    monkeypatch.setattr(console, "BAR_SECONDS", 0.0)
    states, update = [], Progress.update

    def remembering(self, task, **fields):
        states.append(fields["state"])
        update(self, task, **fields)

    monkeypatch.setattr(Progress, "update", remembering)
    options = ("train.xla=false", "train.steps=4", "train.log_every=100", "eval.every=2")
    train(recipes.text_config(tmp_path, *options), tmp_path / "run")
    kinds = [kind for kind, _ in itertools.groupby(state.partition(" ")[0].rstrip(":") for state in states)]
    assert kinds[:4] == ["compiling", "", "loss", "evaluating"]
    assert kinds[-1] == "loss"
    assert kinds[-2] in ("evaluating", "predicting")
    assert "loss" in kinds[4:-2]
    assert not {(before, after) for before, after in itertools.pairwise(kinds)} & {
        ("evaluating", "compiling"),
        ("compiling", "evaluating"),
    }
    lines = terminal.lines
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in lines[: lines.index("next:")])
    suggested = lines[lines.index("next:") + 1 :]
    assert suggested[-1] == ""
    assert all(line.startswith(("  attnzoo ", "  tensorboard ", "      ")) for line in suggested[:-1])
    (bar,) = [number for number, line in enumerate(lines) if line.startswith("training ━")]
    assert lines[bar].endswith("0:00 left")
    assert lines[bar + 1].startswith("trained 4 steps")
