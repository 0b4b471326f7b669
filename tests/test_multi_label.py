"""Texts with any number of labels: from a file to answers."""

import csv as csv_files
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sklearn import metrics

from attnzoo import tasks
from attnzoo.data.datasets import csv
from attnzoo.errors import DataWarning, UserError
from attnzoo.features.info import DataInfo
from attnzoo.features.labels import Labels
from attnzoo.losses import r_drop
from attnzoo.runs.trained import load_trained
from tests import commands, recipes

TASK = tasks.load("multi_label_classification")
COLORS = ["blue", "green", "red"]


def write_table(path, count, seed):
    """Texts that name colors among other words, and those colors as labels."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        chosen = sorted(generator.permutation(COLORS)[: generator.integers(0, 3)])
        words = generator.permutation([*chosen, "a", "house", f"n{number % 5}"])
        rows.append((" ".join(words), chosen))
    path.write_text("\n".join(json.dumps({"text": text, "label": labels}) for text, labels in rows) + "\n")
    return rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    write_table(folder / "train.jsonl", 120, 1)
    rows = write_table(folder / "test.jsonl", 31, 2)
    text = f"""
seed: 3
data: {{name: csv, train: {folder}/train.jsonl, test: {folder}/test.jsonl, num_buckets: 1}}
model: {{name: multi_label_text_classifier, units: 16, attention: additive, pooling: max}}
train: {{epochs: 12, batch_size: 16, learning_rate: 2e-2, xla: false, class_weights: {{red: 2}}}}
eval: {{every: 40, threshold: auto}}
"""
    recipes.write(folder, "colors", text, ())
    ended = commands.run("train", "colors.yaml", "--run", "run", folder=folder)
    assert ended.code == 0, ended.err
    return folder, rows, ended.out


@pytest.fixture(scope="module")
def bounds(trained):
    """Label -> threshold that was fitted at the end of the training."""
    state = json.loads((trained[0] / "run" / "checkpoints" / "final" / "state.json").read_text())
    return state["thresholds"]


def given(probabilities, bounds):
    return [label for label, value in probabilities.items() if value >= bounds[label]]


def test_it_learns_and_answers_with_every_label_that_fits(trained, bounds):
    folder, rows, out = trained
    result = json.loads((folder / "run" / "result.json").read_text())
    assert set(result["metrics"]) == {"loss", "exact_match", "macro_f1", "micro_f1", "average_precision"}
    assert result["metrics"]["exact_match"] > 0.8
    assert f"exact_match {result['metrics']['exact_match']:.4f}" in out
    texts = [text for text, _ in rows]
    (folder / "texts").write_text("\n".join(texts) + "\n")
    ended = commands.run("predict", "run", "texts", "--json", folder=folder)
    answers = [json.loads(line) for line in ended.out.splitlines()]
    right = [answer["labels"] == labels for answer, (_, labels) in zip(answers, rows, strict=True)]
    assert np.mean(right) == pytest.approx(result["metrics"]["exact_match"])
    assert set(bounds) == set(COLORS)
    for answer in answers:
        assert answer["labels"] == given(answer["probabilities"], bounds)
        assert not answer["truncated"]
    plain = commands.run("predict", "run", "texts", folder=folder).out.splitlines()
    for line, answer in zip(plain, answers, strict=True):
        assert line == "\t".join(
            f"{label} {answer['probabilities'][label]:.4f}" for label in answer["labels"]
        )
    ended = commands.run("eval", "run", "--json", folder=folder)
    assert json.loads(ended.out)["metrics"] == pytest.approx(result["metrics"], abs=1e-5)

    run = load_trained(folder / "run")
    assert TASK.export_notes(run.info, run.config.eval)["thresholds"] == list(bounds.values())
    module = TASK.serving_module(run.model, run.info, run.config.eval)
    served = module.signatures()["serving_default"](tf.constant(texts))
    expected = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(served["has_label"], np.array(expected) >= list(bounds.values()))


def test_training_ends_with_suggestions_of_what_to_do_next(trained):
    _, _, out = trained
    for verb in ("eval", "attend", "predict", "export"):
        assert f"attnzoo {verb} run" in out


def test_eval_has_scores_mistakes_and_answers_with_thresholds_of_ones_own(trained, tmp_path):
    """What a label with a threshold of nearly 1 loses: all its examples."""
    folder, rows, _ = trained
    ignored = shutil.ignore_patterns("logs", "step-*")
    shutil.copytree(folder / "run", tmp_path / "run", ignore=ignored)
    config = tmp_path / "run" / "config.yaml"
    assert config.read_text().count("threshold: auto") == 1
    text = config.read_text().replace("threshold: auto", "threshold: {red: 0.999999}")
    config.write_text(text)
    options = ["--worst", "2", "--predictions", "all.csv", "--json"]
    result = json.loads(commands.run("eval", "run", *options, folder=tmp_path).out)
    with (tmp_path / "all.csv").open(newline="") as file:
        table = [*csv_files.DictReader(file)]
    assert [*table[0]] == ["text", "true_labels", "labels", *(f"probabilities.{one}" for one in COLORS)]
    assert [(row["text"], json.loads(row["true_labels"])) for row in table] == rows
    predicted = [json.loads(row["labels"]) for row in table]
    exact = np.mean([one == labels for one, (_, labels) in zip(predicted, rows, strict=True)])
    assert result["metrics"]["exact_match"] == pytest.approx(exact)
    assert exact < 0.8
    truth = [[color in labels for color in COLORS] for _, labels in rows]
    answers = [[color in labels for color in COLORS] for labels in predicted]
    expected = metrics.precision_recall_fscore_support(truth, answers, zero_division=np.nan)
    actual = [[row[key] for key in ("precision", "recall", "f1", "support")] for row in result["classes"]]
    np.testing.assert_allclose(np.array(actual[:2]), np.array(expected).T[:2])
    assert [row["threshold"] for row in result["classes"]] == [0.5, 0.5, 0.999999]
    assert actual[2] == [None, 0.0, 0.0, sum("red" in labels for _, labels in rows)]
    for mistake in result["worst"]:
        assert mistake["labels"] != mistake["true_labels"]
        assert mistake["text"] in dict(rows)


def test_thresholds_that_were_not_fitted_are_refused_by_what_answers():
    with pytest.raises(ValueError, match=r"eval\.threshold: auto: this run has no thresholds: they are"):
        TASK.prediction_model(None, TASK.EvalOptions(threshold="auto"), {})
    with pytest.raises(ValueError, match="thresholds: expected numbers above 0 and below 1"):
        TASK.read_calibration({"thresholds": {"red": 1.5}})


def test_an_evaluation_without_the_thresholds_that_are_asked_for_says_so(trained, tmp_path):
    folder, _, _ = trained
    shutil.copytree(
        folder / "run", tmp_path / "run", ignore=shutil.ignore_patterns("logs", "step-*", "final")
    )
    ended = commands.run("eval", "run", "--json", folder=tmp_path)
    assert [row["threshold"] for row in json.loads(ended.out)["classes"]] == [0.5] * 3
    *_, note = ended.err.splitlines()
    assert note == (
        "attnzoo: note: run: eval.threshold: auto: this run has no thresholds: they are fitted at the end of "
        "training; labels are predicted from a probability of 0.5 on."
    )
    assert "note" not in commands.run("eval", "run", folder=folder).err


def test_an_ensemble_says_whose_thresholds_it_uses(trained):
    folder, rows, _ = trained
    (folder / "one").write_text(f"{rows[0][0]}\n")
    assert commands.run("predict", "run", "one", folder=folder).err == ""
    ended = commands.run("predict", "run", "one", "--with", "run", folder=folder)
    assert ended.err == (
        "attnzoo: note: eval.threshold: auto: the ensemble predicts labels by the thresholds of its first "
        "run, which were fitted to that run's probabilities alone.\n"
    )


def test_attend_shows_every_predicted_label_and_the_true_ones(trained, bounds):
    folder, rows, _ = trained
    ended = commands.run("attend", "run", "--split", "test", "--count", "31", "--json", folder=folder)
    assert ended.code == 0, ended.err
    actual = [json.loads(line) for line in ended.out.splitlines()]
    assert [one["true_labels"] for one in actual] == [labels for _, labels in rows]
    for one, (text, _) in zip(actual, rows, strict=True):
        assert one["labels"] == given(one["probabilities"], bounds)
        assert one["tokens"] == text.split()
        assert sum(one["weights"]) == pytest.approx(1.0, abs=1e-4)
    assert len({len(one["labels"]) for one in actual}) == 3

    ended = commands.run("attend", "run", "a red house", "a house", folder=folder)
    assert [line[:5] for line in ended.out.splitlines()[::3][:2]] == ["red  ", "no la"]
    page = (folder / "run" / "attention" / "attention.html").read_text()
    assert "<b>red</b> 0." in page
    assert "<b>no label</b>" in page

    ended = commands.run("attend", "run", "--faithfulness", folder=folder)
    assert ended.code == 2
    refusal = "--faithfulness is only for single-label text classification."
    assert ended.err.endswith(f"run: a run of multi_label_classification; {refusal}\n")


def test_the_loss_is_the_mean_over_labels_and_a_text_is_right_if_all_are():
    logits = tf.constant([[2.0, -1.0, 0.5], [-3.0, 1.0, -2.0]])
    targets = {"labels": tf.constant([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "weights": tf.constant([1.0, 1.0])}
    sums = TASK.sums(lambda inputs, training: logits, {}, targets, None)
    probabilities = 1 / (1 + np.exp(-logits.numpy()))
    expected = metrics.log_loss(targets["labels"].numpy().ravel(), probabilities.ravel())
    np.testing.assert_allclose(sums["loss"], [2 * expected, 2], rtol=1e-5)
    np.testing.assert_allclose(sums["exact_match"], [1, 2])
    options = TASK.TrainOptions(label_smoothing=0.2)
    smooth = TASK.sums(lambda inputs, training: logits, {}, targets, options)
    pulled = 0.1 * np.where(targets["labels"] == 1, logits, -logits).sum() / 3
    np.testing.assert_allclose(smooth["loss"][0], 2 * expected + pulled, rtol=1e-5)

    targets["positive_weights"] = tf.tile(tf.constant([[3.0, 5.0, 7.0]]), [2, 1])
    # The probabilities are 0.88, 0.27, 0.62 and 0.05, 0.73, 0.12: 0.62 is wrong, and 0.73 is right.
    for bounds, exact in (([0.5, 0.5, 0.7], 2), ([0.5, 0.8, 0.5], 0), ([0.5, 0.8, 0.7], 1)):
        targets["thresholds"] = tf.tile(tf.constant([bounds]), [2, 1])
        sums = TASK.sums(lambda inputs, training: logits, {}, targets, None)
        np.testing.assert_allclose(sums["exact_match"], [exact, 2])
    weights = np.where(targets["labels"] == 1, [3.0, 5.0, 7.0], 1.0)
    expected = metrics.log_loss(
        targets["labels"].numpy().ravel(), probabilities.ravel(), sample_weight=weights.ravel()
    )
    np.testing.assert_allclose(sums["loss"], [2 * expected * weights.mean(), 2], rtol=1e-5)


def test_r_drop_adds_the_divergence_of_each_label_to_the_loss():
    logits = tf.constant([[2.0, -1.0, 0.5], [-3.0, 1.0, -2.0]])
    targets = {"labels": tf.ones([1, 3]), "weights": tf.ones([1])}
    plain = TASK.sums(lambda inputs, training: logits, {}, r_drop.duplicate(targets), TASK.TrainOptions())
    drawn = TASK.sums(lambda inputs, training: logits, {}, targets, TASK.TrainOptions(r_drop=2.0))
    first, second = 1 / (1 + np.exp(-logits.numpy()))
    both = sum(special.kl_div(p, q) for p, q in [(first, second), (second, first)])
    both += sum(special.kl_div(1 - p, 1 - q) for p, q in [(first, second), (second, first)])
    np.testing.assert_allclose(drawn["divergence"], [both.mean() / 2, 1.0], rtol=1e-5)
    np.testing.assert_allclose(drawn["loss"], plain["loss"] + [both.mean(), 0.0], rtol=1e-5)


@pytest.mark.parametrize("some", [True, False])
def test_scores_are_those_of_scikit_learn_and_finite_where_nothing_is_found(some):
    generator = np.random.default_rng(5)
    truth = (generator.random((40, 4)) < (0.3 if some else 0.0)).astype(np.float32)
    actual = np.clip(generator.random((40, 4)) * (0.6 if some else 0.4) + 0.3 * truth, 0, 1)
    examples = type("Examples", (), {"encoded": {"label": truth}})
    info = DataInfo(TASK.name, {"label": Labels(names=tuple("abcd"))})
    scores = TASK.corpus_metrics(actual, examples, info, TASK.EvalOptions(), {})
    if not some:
        assert scores == {"macro_f1": 0.0, "micro_f1": 0.0, "average_precision": 0.0}
        return
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(truth, actual >= 0.5, average="macro"))
    assert scores["micro_f1"] == pytest.approx(metrics.f1_score(truth, actual >= 0.5, average="micro"))
    assert scores["average_precision"] == pytest.approx(
        metrics.average_precision_score(truth, actual, average="micro")
    )


def load(folder, content, suffix="csv", **options):
    path = folder / f"train.{suffix}"
    path.write_text(content)
    return csv.load(csv.Config(name="csv", train=str(path), **options), TASK.features, 3)


def test_labels_are_parted_and_a_text_may_have_none(tmp_path):
    splits = load(tmp_path, 'text,label\none,"b, a"\ntwo,\nthree,a\n')
    assert splits.features["label"].names == ("a", "b")
    np.testing.assert_array_equal(splits.train.column("label"), [[1, 1], [0, 0], [1, 0]])
    splits = load(tmp_path, "text,label\none,b|a\n", label_separator="|")
    np.testing.assert_array_equal(splits.train.column("label"), [[1, 1]])
    lines = [{"text": "x", "label": ["7", 5]}, {"text": "y", "label": []}, {"text": "z", "label": "7,5"}]
    splits = load(tmp_path, "\n".join(map(json.dumps, lines)), "jsonl")
    assert splits.features["label"].names == ("5", "7")
    np.testing.assert_array_equal(splits.train.column("label"), [[1, 1], [0, 0], [1, 1]])
    assert splits.features["label"].balance({"train": splits.train.column("label")}) == []


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        ("text,label\none,\u200b\n", "csv", r"train\.csv:2: the label is empty; fill it in"),
        ("text,label\none,\n", "csv", r"train\.csv: no example has a label in column 'label'"),
        (
            '{"text": "x", "label": ["a", null]}\n',
            "jsonl",
            r"train\.jsonl:1: 'label' must be a string or a whole",
        ),
        (
            '{"text": "x", "label": {"a": 1}}\n',
            "jsonl",
            r"train\.jsonl:1: 'label' must be a string or a whole",
        ),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, content, suffix, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, content, suffix)


def test_a_label_that_train_does_not_have_is_named(tmp_path):
    (tmp_path / "test.csv").write_text('text,label\none,"a,zz"\ntwo,b\n')
    content = 'text,label\none,"a,b"\n'
    with pytest.raises(UserError, match=r"test\.csv:2: label 'zz' does not occur in train"):
        load(tmp_path, content, test=str(tmp_path / "test.csv"))
    with pytest.warns(DataWarning, match="1 with a label that train does not have"):
        splits = load(
            tmp_path, content, test=str(tmp_path / "test.csv"), on_bad_record="skip", max_bad_fraction=0.5
        )
    np.testing.assert_array_equal(splits.test.column("label"), [[0, 1]])
