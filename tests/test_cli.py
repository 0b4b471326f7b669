import json
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

from attnzoo import __version__, cli, tasks
from attnzoo.errors import ConfigErrors, DataNote, DataWarning, UserError
from attnzoo.training import run

PROBE = (
    "import sys\nfrom attnzoo import cli\n"
    "try:\n    cli.main()\nfinally:\n"
    "    print('HEAVY', [name for name in ('tensorflow', 'keras') if name in sys.modules], file=sys.stderr)\n"
)
DATES = "data:\n  name: dates\nmodel:\n  name: translation\ntrain:\n  epochs: 1\n"


def run_probe(*arguments, folder=None):
    """Runs the command line in a process of its own that says at its end whether TensorFlow was imported."""
    command = [sys.executable, "-c", PROBE, *arguments]
    environment = {"PYTHONPATH": str(Path(cli.__file__).parents[2]), "PATH": "", "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.fixture
def call(monkeypatch, capsys):
    """Function: arguments -> (exit code, stdout, stderr) of the command line in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["attnzoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run


@pytest.fixture
def fake(monkeypatch):
    """Function: puts a module with one function in the place of a module that needs TensorFlow."""

    def put(module, name, function):
        replacement = types.ModuleType(module)
        setattr(replacement, name, function)
        monkeypatch.setitem(sys.modules, module, replacement)
        package, _, attribute = module.rpartition(".")
        monkeypatch.setattr(sys.modules[package], attribute, replacement, raising=False)

    import attnzoo.training  # noqa: F401  the package itself, so that its modules can be replaced

    return put


@pytest.fixture
def column_run(empty_folder):
    """A run that was trained on texts of a column `body`; its config is all that is there of it."""
    folder = empty_folder / "run"
    folder.mkdir()
    config = "data: {name: csv, train: x.csv, text: body}\nmodel: {name: text_classifier}\n"
    (folder / "config.yaml").write_text(config)
    return folder


@pytest.fixture
def dates(empty_folder):
    Path("dates.yaml").write_text(DATES)
    return Path("dates.yaml")


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("train", "--help"), ("list", "models"), ("config", "schema")],
    ids=" ".join,
)
def test_light_commands_do_not_import_tensorflow(arguments):
    done = run_probe(*arguments)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr == "HEAVY []\n"


def test_a_config_is_checked_with_its_data_files_and_without_tensorflow(empty_folder):
    pairs = "data: {name: parallel_text, train: [a.en, a.de]}\nmodel: {name: translation}\n"
    (empty_folder / "pairs.yaml").write_text(pairs)
    (empty_folder / "a.en").write_text("good\n")
    done = run_probe("config", "check", "pairs.yaml", folder=empty_folder)
    assert done.returncode == 2
    assert done.stderr.startswith("attnzoo: error: pairs.yaml:1: data.train.1: a.de: not found ")
    assert done.stderr.endswith("\nHEAVY []\n")


def test_a_config_error_is_one_line_with_exit_code_2_and_no_tensorflow(empty_folder):
    (empty_folder / "dates.yaml").write_text(DATES.replace("epochs", "epohcs"))
    done = run_probe("train", "dates.yaml", folder=empty_folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "attnzoo: error: dates.yaml:6: train.epohcs: unknown key, did you mean 'epochs'?\nHEAVY []\n"
    )


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("new.csv", "text\none\n", (), "new.csv:1: no column 'body'; the header has: text."),
        ("new.tsv", 'body\n"', (), 'new.tsv:2: the quote (") that starts in this record is never closed.'),
        (
            "new.jsonl",
            '{"body": "a"}\n',
            ("--column", "bdy"),
            "new.jsonl:1: no key 'bdy' (did you mean 'body'?)",
        ),
        (
            "new.txt",
            "text\n",
            ("--input-format", "jsonl"),
            "new.txt:1: not a single JSON object: Expecting value",
        ),
        ("new.txt", "a\0\n", (), "new.txt:1: NUL byte; remove it."),
        (
            "new.txt",
            "text\n",
            ("--column", "a"),
            "--column a: plain text has no columns; add --input-format csv,",
        ),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_one_line(call, column_run, name, content, options, message):
    (column_run.parent / name).write_text(content)
    code, out, err = call("predict", column_run.name, name, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"attnzoo: error: {message}")
    assert len(err.splitlines()) == 1


def test_a_wrong_file_is_reported_before_tensorflow_is_imported(column_run):
    (column_run.parent / "new.jsonl").write_text("[]\n")
    done = run_probe("predict", column_run.name, "new.jsonl", folder=column_run.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "attnzoo: error: new.jsonl:1: expected a JSON object such as {...}; got [].",
        "HEAVY []",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--beams", "2"), "run: a run of text_classification; --beams is only for translation."),
        (("--csv", "--json"), "--csv and --json are two formats: leave one out"),
        (("--csv", "--out", "a.csv"), "--out a.csv: the suffix says the format; remove --csv"),
        (("--out", "a.xlsx"), "--out a.xlsx: unknown suffix .xlsx; expected .csv, .jsonl or .txt"),
        (("--out", "drawn"), "--out drawn: a folder, which is for pictures of detections; expected a file"),
        (("--out", "new.txt"), "--out new.txt: one of the inputs; choose another name"),
        (("--id", "key"), "--id key: plain text has no columns; add --input-format csv, tsv or jsonl"),
        (("gone.txt",), "gone.txt: not found; check the path"),
        (("empty.csv",), "empty.csv: empty; the first line must name the column 'body'."),
        (("*.tsv",), "*.tsv: no file fits this pattern"),
        (("run",), "run: no .txt, .csv, .tsv or .jsonl files in this folder"),
    ],
)
def test_options_of_predict_that_do_not_fit_are_refused_before_tensorflow_is_imported(
    call, column_run, options, message
):
    (column_run.parent / "new.txt").write_text("text\n")
    (column_run.parent / "empty.csv").write_text("")
    code, out, err = call("predict", column_run.name, "new.txt", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"attnzoo: error: {message}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("predict", "run", "new.txt", "--count", "3", "--csv"),
            "run: --count 3: a search with 1 beam(s) returns at most 1 translation(s); add --beams 3, or",
        ),
        (
            ("predict", "run", "new.txt", "--count", "3", "--beams", "2"),
            "run: --count 3: a search with 2 beam(s)",
        ),
        (("predict", "run", "new.txt", "--prefix", "\udce9"), "--prefix: not UTF-8; use a terminal"),
        (("score", "run", "-", "-"), "-: standard input is named twice, but can be read only once"),
    ],
)
def test_requests_of_translations_that_do_not_fit_are_refused_before_tensorflow_is_imported(
    call, empty_folder, arguments, message
):
    (empty_folder / "run").mkdir()
    (empty_folder / "run" / "config.yaml").write_text(DATES)
    (empty_folder / "new.txt").write_text("text\n")
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"attnzoo: error: {message}")
    assert len(err.splitlines()) == 1


def test_the_package_can_be_run_as_a_module():
    done = subprocess.run([sys.executable, "-m", "attnzoo", "--version"], capture_output=True, text=True)
    assert done.stdout == f"attnzoo {__version__}\n"


def test_every_error_of_a_config_is_a_line(call, dates):
    code, out, err = call("config", "check", dates, "--set", "train.epochs=0", "--set", "model.x=1")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "attnzoo: error: --set train.epochs=0: "
        "train.epochs: expected a whole number of at least 1, received 0",
        next(line for line in err.splitlines() if "--set model.x=1: model.x: unknown key, " in line),
    ]


def test_options_of_classifiers_are_refused_where_there_are_no_classes(call, dates):
    code, _, err = call(
        "config", "check", dates, "--set", "train.class_weights={a: 2}", "--set", "eval.calibrate=true"
    )
    assert code == 2
    what = "text_classification, and this model is for translation; leave it out"
    weights = f"an option of image_classification, multi_label_classification, {what}"
    assert [line.split(": ", 4)[3:] for line in err.splitlines()] == [
        ["2}", f"train.class_weights: {weights}"],
        ["eval.calibrate", f"an option of image_classification, {what}"],
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("train.guided_alignment=1", "data.train_alignments"),
        ("data.train_alignments=x", "train.guided_alignment"),
    ],
)
def test_guided_attention_and_alignments_need_each_other(call, tmp_path, one, other):
    (tmp_path / "pairs.yaml").write_text("data: {name: parallel_text, train: [a, b]}\nmodel: translation\n")
    code, _, err = call("config", "check", tmp_path / "pairs.yaml", "--set", one)
    key = one.split("=")[0]
    assert (code, err) == (
        2,
        f"attnzoo: error: --set {one}: {key}: needs {other} too: set both, or remove it\n",
    )
    assert call("config", "check", tmp_path / "pairs.yaml", "--set", one, "--set", f"{other}=1")[0] == 0


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["data.tokenizer=words"], "only works with data.tokenizer subwords or bpe, not words; remove it"),
        (
            ["data.tokenizer=bpe", "train.guided_alignment=1", "data.train_alignments=x"],
            "cannot be combined with train.guided_alignment; remove one of them",
        ),
    ],
)
def test_options_that_subword_sampling_cannot_be_combined_with_are_refused(call, tmp_path, overrides, reason):
    (tmp_path / "pairs.yaml").write_text("data: {name: parallel_text, train: [a, b]}\nmodel: translation\n")
    one = "data.subword_sampling=0.1"
    options = [part for override in (one, *overrides) for part in ("--set", override)]
    code, _, err = call("config", "check", tmp_path / "pairs.yaml", *options)
    assert (code, err) == (2, f"attnzoo: error: --set {one}: data.subword_sampling: {reason}\n")


def test_r_drop_without_dropout_is_refused(call, tmp_path):
    (tmp_path / "texts.yaml").write_text("data: {name: csv, train: a.csv}\nmodel: {name: text_classifier}\n")
    command = ["config", "check", tmp_path / "texts.yaml", "--set", "train.r_drop=1"]
    code, _, err = call(*command, "--set", "model.dropout=0")
    what = "this model has no dropout, so the two passes would be identical; set model.dropout"
    assert (code, err) == (2, f"attnzoo: error: --set train.r_drop=1: train.r_drop: {what}\n")
    assert call(*command)[0] == 0
    inside = "model.attention={name: multi_head, dropout: 0.1}"
    assert call(*command, "--set", "model.dropout=0", "--set", inside)[0] == 0


def test_a_correct_config_is_reported_as_correct(call, dates):
    assert call("config", "check", dates) == (0, "dates.yaml: correct\n", "")


def test_a_shown_config_can_be_checked_again(call, dates):
    code, out, _ = call("config", "show", dates, "--set", "seed=7")
    assert code == 0
    assert "seed: 7  # --set" in out
    assert "  epochs: 1  # dates.yaml:6" in out
    assert "  learning_rate: 0.001  # default" in out
    Path("again.yaml").write_text(out)
    assert call("config", "check", "again.yaml") == (0, "again.yaml: correct\n", "")


def test_the_schema_is_json(call):
    code, out, _ = call("config", "schema")
    assert code == 0
    assert json.loads(out)["title"] == "attnzoo config"


def test_a_recipe_is_copied_here_and_never_over_a_file(call, empty_folder, root):
    recipe = (root / "configs/text_languages.yaml").read_text()
    code, out, err = call("config", "copy", "text_languages")
    assert (code, out) == (0, "text_languages.yaml\n")
    assert "attnzoo train text_languages.yaml\n" in err
    assert Path("text_languages.yaml").read_text() == recipe
    assert call("config", "copy", "text_languages", "a/b.yaml")[:2] == (0, "a/b.yaml\n")
    assert call("config", "copy", "text_languages", "a")[:2] == (0, "a/text_languages.yaml\n")
    Path("text_languages.yaml").write_text("mine")
    assert call("config", "copy", "text_languages") == (
        2,
        "",
        "attnzoo: error: text_languages.yaml: already exists; choose another name, or add --force to "
        "overwrite it\n",
    )
    assert Path("text_languages.yaml").read_text() == "mine"
    assert call("config", "copy", "text_languages", "--force")[0] == 0
    assert Path("text_languages.yaml").read_text() == recipe
    assert call("config", "copy", "text_langages")[2] == (
        "attnzoo: error: unknown config 'text_langages'; did you mean 'text_languages'?\n"
    )


def test_commands_take_the_name_of_a_recipe_and_say_which_file_it_is(call, empty_folder, fake, root):
    calls = []
    fake("attnzoo.training.run", "train", lambda *arguments: calls.append(arguments))
    file = root / "configs/image_digits.yaml"
    told = f"attnzoo: note: the config image_digits is {file}\n"
    assert call("train", "image_digits") == (0, "", told)
    assert calls[0][0].config.name == "image_digits"
    assert calls[0][1] == Path("runs/image_digits")
    assert call("config", "check", "image_digits") == (0, f"{file}: correct\n", told)
    assert call("config", "show", "image_digits")[0] == 0


def test_keys_are_explained_without_tensorflow(empty_folder):
    done = run_probe("config", "explain", "train.schedule", folder=empty_folder)
    assert done.stdout.startswith("train.schedule\n")
    assert done.stderr == "HEAVY []\n"


@pytest.mark.parametrize("kind", ["models", "datasets", "attention", "tasks", "features", "configs"])
def test_lists_show_a_line_for_each_name(call, kind):
    from attnzoo import catalog

    code, out, _ = call("list", kind)
    assert code == 0
    assert catalog.names(kind)
    assert [name for name in catalog.names(kind) if f"  {name} " not in out] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nothing.yaml"), "nothing.yaml: no such config file, see `attnzoo list configs`"),
        (("eval", "runs/x"), "runs/x: no such run folder; expected one created by `attnzoo train`"),
        (("export", "runs/x"), "runs/x: no such run folder; expected one created by `attnzoo train`"),
        *(
            (
                ("train", "dates.yaml", "--profile", text),
                f"--profile {text}: expected START:STOP, two steps with START below STOP, such as 10:20",
            )
            for text in ("7", "7:", "7:7", "9:7", "a:b", "²:9")
        ),
    ],
)
def test_wrong_arguments_are_one_line(call, dates, arguments, message):
    assert call(*arguments) == (2, "", f"attnzoo: error: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "missing argument 'CONFIG'; see `attnzoo train --help`."),
        (("train", "x", "--run-dir", "y"), "no such option: --run-dir (Possible options: --run); see"),
        (("list", "layers"), "invalid value for 'kind': 'layers' is not one of 'models', 'datasets',"),
        (("eval", "x", "--split", "dev"), "invalid value for '--split': 'dev' is not one of 'train',"),
        (("config", "x"), "no such command 'x'; see `attnzoo config --help`."),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"attnzoo: error: {message}")
    assert err.endswith(" --help`.\n")
    assert len(err.splitlines()) == 1


def test_no_arguments_at_all_show_the_help(call):
    code, out, err = call()
    assert (code, err) == (2, "")
    assert "Usage: attnzoo" in out


def test_train_hands_over_the_config_and_the_folder_named_after_it(call, dates, fake):
    calls = []
    fake("attnzoo.training.run", "train", lambda *arguments: calls.append(arguments))
    assert call("train", dates, "--set", "train.epochs=3")[0] == 0
    options = ["--run", "here", "--restart", "--profile", "5:11", "--allow-changed", "code"]
    assert call("train", dates, *options)[0] == 0
    (resolved, *first), (_, *second) = calls
    assert resolved.config.train.epochs == 3
    assert first == [Path("runs/dates"), False, None, ()]
    assert second == [Path("here"), True, (5, 11), ["code"]]


def test_an_option_without_effect_is_a_note_of_train_too_that_strict_passes(call, dates, fake):
    fake("attnzoo.training.run", "train", lambda *arguments: None)
    idle = ["--set", "train.schedule_patience=3"]
    what = "train.schedule_patience: has no effect unless schedule is plateau; remove it"
    note = f"attnzoo: note: {' '.join(idle)}: {what}\n"
    assert call("config", "check", dates, *idle) == (0, "dates.yaml: correct\n", note)
    assert call("train", dates, "--strict", *idle) == (0, "", note)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("data.csv:7: bad"), 2, "attnzoo: error: data.csv:7: bad\n"),
        (UserError("loss is nan", exit_code=3), 3, "attnzoo: error: loss is nan\n"),
        (UserError("w: damaged", exit_code=4), 4, "attnzoo: error: w: damaged\n"),
        (ConfigErrors(["one", "two"]), 2, "attnzoo: error: one\nattnzoo: error: two\n"),
        (UserError("stopped on request", exit_code=75), 75, "attnzoo: stopped on request\n"),
    ],
)
def test_errors_of_a_command_become_lines_and_exit_codes(call, dates, fake, error, code, message):
    def fail(*_):
        raise error

    fake("attnzoo.training.run", "train", fail)
    assert call("train", dates) == (code, "", message)


def result_of(run, split, *_, **__):
    print("noise of a library")
    metrics = {"accuracy": 0.98765, "signature": "BLEU|x", "exact": 7}
    result = {"run": str(run), "split": split, "examples": 11, "metrics": metrics, "seconds": 1.5}
    result["weights"] = "step 7"
    return result, []


def test_eval_prints_a_table(call, empty_folder, fake):
    fake("attnzoo.evaluation", "evaluate", result_of)
    code, out, err = call("eval", empty_folder, "--split", "validation")
    assert (code, err) == (0, "noise of a library\n")
    assert f"{empty_folder}: validation, 11 examples, weights: step 7, 1.5 s" in out
    assert [line.split() for line in out.splitlines() if line.startswith("  accuracy")] == [
        ["accuracy", "0.9877"]
    ]
    assert "BLEU|x" in out


def test_eval_json_is_one_object_and_nothing_else(call, empty_folder, fake):
    fake("attnzoo.evaluation", "evaluate", result_of)
    code, out, _ = call("eval", empty_folder, "--split", "test", "--json")
    assert code == 0
    assert out.count("\n") == 1
    assert json.loads(out)["metrics"] == {"accuracy": 0.98765, "signature": "BLEU|x", "exact": 7}
    assert json.loads(out)["split"] == "test"


def with_confusions(matrix, labels):
    def evaluate(run, split, *_, **__):
        details = {"labels": labels, "confusion_matrix": matrix, "classes": []}
        return {**result_of(run, split)[0], **details}, tasks.load("text_classification").describe(details)

    return evaluate


def test_eval_shows_the_confusions_of_few_classes_as_a_table(call, empty_folder, fake):
    matrix = [[1203, 0, 5], [0, 41, 0], [7, 0, 98]]
    fake(
        "attnzoo.evaluation", "evaluate", with_confusions(matrix, ["first", "a\nb", "the third one of them"])
    )
    code, out, _ = call("eval", empty_folder)
    assert code == 0
    assert out.splitlines()[-4:] == [
        "                          first    a\\nb  the t…",
        "  first                    1203       .       5",
        "  a\\nb                        .      41       .",
        "  the third one of them       7       .      98",
    ]


def test_eval_names_the_worst_confusions_of_many_classes(call, empty_folder, fake):
    matrix = [[9 * (row == column) for column in range(21)] for row in range(21)]
    matrix[4][5], matrix[5][4], matrix[20][0] = 3, 4, 4
    fake("attnzoo.evaluation", "evaluate", with_confusions(matrix, [f"l{number}" for number in range(21)]))
    _, out, _ = call("eval", empty_folder)
    assert out.splitlines()[-4:] == [
        "  most confused:",
        "  l5 predicted as l4: 4 of 13",
        "  l20 predicted as l0: 4 of 13",
        "  l4 predicted as l5: 3 of 12",
    ]


def test_export_prints_the_folder(call, empty_folder, fake):
    def export(run, out):
        print("noise of a library")
        return out or run / "export"

    fake("attnzoo.export", "export", export)
    assert call("export", empty_folder)[:2] == (0, f"{empty_folder}/export\n")
    assert call("export", empty_folder, "--out", "here")[:2] == (0, "here\n")


def test_every_command_has_an_example(call):
    names = ["train", "eval", "export", "list", "predict", "score", "attend", "compare", "sweep"]
    names += [f"config {name}" for name in ("check", "show", "schema", "copy", "explain")] + ["data inspect"]
    for command in map(str.split, names):
        code, out, _ = call(*command, "--help")
        assert code == 0
        assert f"Example:  attnzoo {' '.join(command)} " in out


@pytest.mark.parametrize(("category", "code", "label"), [(DataWarning, 2, "error"), (DataNote, 0, "note")])
def test_strict_refuses_warnings_and_passes_notes(call, monkeypatch, category, code, label):
    monkeypatch.setattr(run, "train", lambda *_: warnings.warn("odd", category, stacklevel=1))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        ended = call("train", "configs/image_digits.yaml", "--strict")
    assert (ended[0], ended[2]) == (code, f"attnzoo: {label}: odd\n")
