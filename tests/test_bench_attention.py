import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

import bench_attention  # noqa: E402
import bench_attention_rounds as rounds  # noqa: E402
import bench_attention_table as table  # noqa: E402
from bench_attention_peers import Case  # noqa: E402

CASE = Case("function", 2, 3, 512, 5, "float32", "full", 7, True)


def timed(milliseconds, **more):
    return {"first_call": milliseconds + 2500, "milliseconds": milliseconds, "rounds": 5, **more}


def report_of(*rows):
    return {
        "machine": "A machine",
        "versions": {"attnzoo": "0.1.0", "Keras": "3.15.1", "PyTorch": "2.13.0"},
        "date": "2026-11-21",
        "command": "python scripts/bench_attention.py --quick",
        "rounds": 5,
        "memory_limit": 8.0,
        "rows": [{"case": case._asdict(), "results": results} for case, results in rows],
    }


REPORT = report_of(
    (
        CASE._replace(length=512, dim=1000),
        {
            "attnzoo XLA": timed(110.1, bytes=2**20),
            "keras plain": timed(330.3),
            "keras XLA": timed(220.2, bytes=5 * 2**20),
            "torch eager": timed(55.05),
            "matmul plain": timed(100.0),
            "matmul XLA": timed(200.0),
        },
    ),
    (
        CASE._replace(mask="window"),
        {
            "attnzoo XLA": {"note": "failed"},
            "keras plain": {"note": "over 8 GiB"},
            "keras XLA": {"note": "over 8 GiB"},
            "torch eager": timed(7.5),
            "matmul plain": timed(100.0),
        },
    ),
    (CASE._replace(backward=False), {"attnzoo XLA": timed(4.0), "keras plain": timed(6.0)}),
    (CASE._replace(level="layer"), {"attnzoo XLA": timed(4.0), "keras plain": {"note": "over 8 GiB"}}),
    (CASE._replace(level="layer", mask="causal"), {"attnzoo XLA": timed(2.0), "keras plain": timed(5.0)}),
)


@pytest.mark.parametrize("mask", ["full", "causal", "window"])
@pytest.mark.parametrize("length", [5, 7, 11])
def test_pairs_are_those_that_attend_and_half_of_all_for_causal(mask, length):
    case = CASE._replace(mask=mask, length=length)
    expected = case.allowed().sum() if mask == "window" else length**2 // (2 if mask == "causal" else 1)
    assert case.pairs == expected


def test_backward_counts_two_and_a_half_times_forward():
    assert CASE._replace(backward=False).flops == 4 * 2 * 3 * 512 * 512 * 5
    assert CASE.flops == 3.5 * CASE._replace(backward=False).flops


def test_inputs_are_the_same_in_every_process_and_those_of_a_layer_fit_its_projections():
    (query, *_), upstream = CASE.arrays()
    np.testing.assert_array_equal(query, CASE.arrays()[0][0])
    assert query.shape == upstream.shape == (2, 3, 512, 5)
    (inputs, *weights), _ = CASE._replace(level="layer").arrays()
    assert inputs.shape == (2, 512, 15)
    assert [weight.shape for weight in weights] == [(15, 15), (15,)] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.123, "0.12"), (9.996, "10.0"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1,234")],
)
def test_numbers_have_three_digits(value, text):
    assert table.number(value) == text


def test_the_better_keras_is_compared_and_named():
    row = REPORT["rows"][0]
    assert table.time_cell(row, "keras") == "220 XLA"
    assert table.ratio(row, "keras") == pytest.approx(2.0)
    assert table.ratio(row, "torch") == pytest.approx(0.5)
    assert table.ratio(REPORT["rows"][1], "keras") is None
    assert table.compile_seconds(row) == pytest.approx(2.5)


def test_the_table_has_a_part_for_each_kind_of_work():
    lines = table.render(REPORT).splitlines()
    # 4 * 2 * 3 * 512 * 512 * 1000 * 3.5 / 110.1 ms = 200 GFLOP/s; the matmul makes 2 * 2048^3 / 100 ms = 172.
    assert (
        "| 2×3×512×1000 | full | 110 | 200 | 116% | 220 XLA | 2.00 | 55.0 | 0.50 | 1.00 | 5.00 | 2.50 |"
        in lines
    )
    assert "| 2×3×512×5 | window 7 | failed | – | – | over 8 GiB | – | 7.50 | – | – | – | – |" in lines
    assert "| 2×3×512×5 | float32 | 4.00 · 1.50× · – |" in lines
    assert "| 2×3×512×5 | float32 | 4.00 · over 8 GiB | 2.00 · 2.50× |" in lines
    assert not any("bfloat16" in line for line in lines)


def test_tables_have_as_many_cells_in_every_line():
    blocks = table.render(REPORT).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1


def test_only_what_is_between_the_markers_is_replaced(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for _ in range(2):
        table.put_between_markers(file, "new\n")
        assert file.read_text() == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"


def test_the_page_on_attention_has_the_place_for_the_table(root):
    assert table.has_markers(root / "attnzoo/attention/README.md")


def test_windows_that_hold_everything_and_layers_forward_alone_are_not_planned():
    arguments = argparse.Namespace(
        lengths=[4096, 256],
        dtypes=["float32"],
        masks=["full", "window"],
        passes=["forward", "both"],
        levels=["function", "layer"],
        heads=3,
        dim=5,
        window=256,
    )
    kinds = [
        (case.level, case.batch, case.length, case.mask, case.backward)
        for case in bench_attention.plan(arguments)
    ]
    assert kinds == [
        ("function", 8, 256, "full", False),
        ("function", 8, 256, "full", True),
        ("layer", 8, 256, "full", True),
        ("function", 1, 4096, "full", False),
        ("function", 1, 4096, "full", True),
        ("layer", 1, 4096, "full", True),
        ("function", 1, 4096, "window", False),
        ("function", 1, 4096, "window", True),
    ]


def test_keras_is_left_out_where_its_scores_take_too_much(tmp_path):
    case = CASE._replace(batch=1, heads=8, length=16384)
    assert rounds.estimated_bytes("keras", case) == 3 * 8 * 16384**2 * 4
    assert rounds.estimated_bytes("attnzoo", case) == 0
    bench = rounds.Bench({"attnzoo": "no-python", "keras": "no-python"}, 1, 8.0, tmp_path)
    result: dict = {}
    assert not bench._prepare(case, "keras plain", result)
    assert result == {"note": "over 8 GiB"}


def test_results_that_differ_end_the_run(tmp_path, monkeypatch):
    bench = rounds.Bench({"attnzoo": "no-python", "keras": "no-python"}, 1, 8.0, tmp_path)

    def answer(peer, command, *, name, case, save_to):
        np.savez(save_to, np.full([2, 3], 1.0 if name == rounds.OURS else 1.5))
        return {"milliseconds": 1.0}

    monkeypatch.setattr(rounds.Peer, "ask", answer)
    assert bench._prepare(CASE, rounds.OURS, {})
    result: dict = {}
    assert bench._prepare(CASE._replace(dtype="bfloat16"), "keras XLA", result)
    assert result["difference"] == 0.5
    with pytest.raises(SystemExit, match=r"attnzoo and keras XLA differ by 0\.5"):
        bench._prepare(CASE, "keras XLA", {})


def test_a_process_that_ends_is_an_error_with_its_last_words(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'out of memory' >&2\nexit 3\n")
    python.chmod(0o755)
    peer = rounds.Peer("torch", str(python), tmp_path)
    for _ in range(2):
        with pytest.raises(rounds.PeerError, match="torch ended with code 3: out of memory"):
            peer.ask("versions", library="torch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--masks", "diagonal"], "invalid choice: 'diagonal'"),
        (["--lengths", "0"], "must be 1 or more, not 0"),
        (["--torch-python", "no/python"], "no Python at no/python"),
        (["--table", "no.json"], "no file no.json"),
        (["--write", "no.md"], "in no.md"),
    ],
)
def test_wrong_options_are_reported_before_anything_is_measured(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        bench_attention.parse(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_names_what_was_asked_for_and_no_paths(monkeypatch):
    monkeypatch.setenv("JAX_PYTHON", sys.executable)
    arguments = bench_attention.parse(["--quick", "--lengths", "32", "--torch-python", sys.executable])
    assert arguments.command == "python scripts/bench_attention.py --quick --lengths 32"
    assert arguments.rounds == bench_attention.QUICK["rounds"]
    assert arguments.jax_python == arguments.torch_python == sys.executable


def test_a_table_is_printed_and_written_from_a_file(empty_folder, monkeypatch, capsys):
    Path("results.json").write_text(json.dumps(REPORT))
    Path("README.md").write_text(f"{table.BEGIN}\n{table.END}\n")
    monkeypatch.setattr(sys, "argv", ["bench", "--table", "results.json", "--write", "README.md"])
    assert bench_attention.main() == 1  # a row without attnzoo
    assert capsys.readouterr().out == table.render(REPORT)
    assert Path("README.md").read_text() == f"{table.BEGIN}\n{table.render(REPORT)}{table.END}\n"


def test_earlier_results_are_kept_unless_they_come_from_elsewhere(tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({**REPORT, "command": "python first"}))
    report = {**REPORT, "rows": [], "command": "python second"}
    bench_attention.continue_from(file, report)
    assert report["rows"] == REPORT["rows"]
    assert report["command"] == "python first` and `python second"
    with pytest.raises(rounds.PeerError, match=r"results of A machine, not of another; choose another file"):
        bench_attention.continue_from(file, {**REPORT, "machine": "another"})


@pytest.mark.slow
def test_a_tiny_run_measures_and_agrees(tmp_path):
    results = tmp_path / "results.json"
    command = "--lengths 16 --heads 2 --dim 8 --rounds 2 --dtypes float32 --masks causal --passes forward"
    finished = subprocess.run(
        [sys.executable, str(SCRIPTS / "bench_attention.py"), *command.split(), "--json", str(results)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "1/1 function [128, 2, 16, 8] float32 causal forward: attnzoo XLA" in finished.stderr
    report = json.loads(results.read_text())
    assert finished.stdout == table.render(report)
    (row,) = report["rows"]
    assert row["results"]["keras plain"]["difference"] < 1e-5
    assert all(result["milliseconds"] > 0 for result in row["results"].values())
