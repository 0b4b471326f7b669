"""What a classifier is scored by, through the command line: confusions, calibration, class weights."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sklearn import metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnzoo.errors import UserError
from attnzoo.explanation import Explanation
from attnzoo.files import MAX_JSON_BYTES
from attnzoo.runs.data import load_splits
from attnzoo.runs.trained import load_trained
from attnzoo.variables import read_tensors, write_tensors
from tests import commands, recipes

OPTIONS = ["train.xla=false", "train.epochs=2", "eval.calibrate=true", "train.class_weights={de: 3}"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run on four times as many English greetings as German ones, some of them with the wrong
    label, and what the command printed."""
    folder = tmp_path_factory.mktemp("imbalanced")
    recipes.text_config(folder)
    for split, repeats in (("train", 11), ("test", 3)):
        lines = [
            f"{text} {number},{label if number % 7 else 'de'}"
            for label, times in (("en", 4 * repeats), ("de", repeats))
            for number in range(times)
            for text in recipes.GREETINGS[label]
        ]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    options = [part for option in OPTIONS for part in ("--set", option)]
    ended = commands.run("train", "greetings.yaml", "--run", "run", *options, folder=folder)
    assert ended.code == 0, ended.err
    return folder / "run", ended.out


@pytest.fixture(scope="module")
def evaluated(trained):
    """What `eval --json` prints of it; its answers are in `answers.jsonl`."""
    options = ["--json", "--worst", "3", "--predictions", "answers.jsonl"]
    ended = commands.run("eval", trained[0], *options, folder=trained[0])
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.fixture(scope="module")
def test_set(trained):
    """Texts <str>, labels <int>[examples] and logits <float64>[examples, classes] of the test split."""
    run = load_trained(trained[0])
    split = load_splits(run.config).test
    texts, labels = list(split.column("text")), split.column("label")
    tokenizer = run.info.features["text"].make_tokenizer()
    ids = tokenizer.encode(tf.constant(texts)).to_tensor(0)
    logits = run.model({"text": ids}, training=False).numpy().astype(np.float64)
    return texts, labels, logits


def copy_with(trained, folder, **state):
    """Returns a copy of the run whose weights have another state; None leaves a key out."""
    shutil.copytree(trained[0], folder, ignore=shutil.ignore_patterns("logs", "step-*"))
    final = folder / "checkpoints" / "final"
    values, old = read_tensors(final, MAX_JSON_BYTES)
    write_tensors(final, values, {key: value for key, value in {**old, **state}.items() if value is not None})
    return folder


def test_the_metrics_of_eval_are_those_of_scikit_learn(evaluated, test_set):
    _, labels, logits = test_set
    predicted, probabilities = logits.argmax(axis=1), special.softmax(logits, axis=1)
    actual = evaluated["metrics"]
    assert actual["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-6)
    assert actual["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert actual["cohen_kappa"] == pytest.approx(metrics.cohen_kappa_score(labels, predicted))
    assert evaluated["labels"] == ["de", "en"]
    assert evaluated["confusion_matrix"] == metrics.confusion_matrix(labels, predicted).tolist()
    scores = metrics.precision_recall_fscore_support(labels, predicted)
    keys = ("precision", "recall", "f1", "support")
    np.testing.assert_allclose([[row[key] for row in evaluated["classes"]] for key in keys], scores)
    assert actual["loss"] == pytest.approx(metrics.log_loss(labels, probabilities), abs=1e-5)  # unweighted


def test_eval_writes_the_answers_of_predict_and_shows_the_most_confident_mistakes(
    trained, evaluated, test_set
):
    texts, labels, logits = test_set
    answers = [json.loads(line) for line in (trained[0] / "answers.jsonl").read_text().splitlines()]
    assert [one["text"] for one in answers] == texts
    assert [one["true_label"] for one in answers] == [("de", "en")[label] for label in labels]
    calibrated = special.softmax(logits / evaluated["metrics"]["temperature"], axis=1)
    values = [[one["probabilities"][name] for name in ("de", "en")] for one in answers]
    np.testing.assert_allclose(values, calibrated, atol=1e-5)
    wrong = [one for one in answers if one["label"] != one["true_label"]]
    worst = sorted((one["probability"] for one in wrong), reverse=True)[:3]
    assert [one["probability"] for one in evaluated["worst"]] == pytest.approx(worst)
    assert all(one["label"] != one["true_label"] for one in evaluated["worst"])


def test_train_ends_with_the_metrics_of_eval_and_begins_with_the_counts(trained, evaluated):
    run, printed = trained
    result = json.loads((run / "result.json").read_text())
    assert result["metrics"] == pytest.approx(evaluated["metrics"], abs=1e-5)
    assert f"cohen_kappa {result['metrics']['cohen_kappa']:.4f}" in printed
    for name, split in load_splits(load_trained(run).config).named().items():
        german, english = np.bincount(split.column("label"))
        assert f"         {name}: en {english}, de {german}\n" in printed


def test_predict_answers_with_calibrated_probabilities_where_that_is_asked_for(
    trained, evaluated, test_set, tmp_path
):
    texts, _, logits = test_set
    expected = special.softmax(logits / evaluated["metrics"]["temperature"], axis=1)
    assert np.abs(expected - special.softmax(logits, axis=1)).max() > 1e-2
    (tmp_path / "texts").write_text("\n".join(texts) + "\n")
    ended = commands.run("predict", trained[0], "texts", "--json", folder=tmp_path)
    answers = [json.loads(line)["probabilities"] for line in ended.out.splitlines()]
    np.testing.assert_allclose([[one["de"], one["en"]] for one in answers], expected, atol=1e-5)
    attended = Explanation(trained[0]).explain_inputs(texts)
    np.testing.assert_allclose([one.values for one in attended], expected, atol=1e-5)


def test_a_run_without_a_temperature_is_evaluated_and_answers_only_as_it_is(trained, evaluated, tmp_path):
    run = copy_with(trained, tmp_path / "run", temperature=None)
    ended = commands.run("eval", run, folder=tmp_path)
    assert ended.code == 0
    assert "calibration_error" in ended.out
    assert "scaled_calibration_error" not in ended.out
    assert "note: " in ended.err
    assert "no temperature: it is fitted at the end of training, for at most 1,000 classes; prob" in ended.err
    (true, false), _ = evaluated["confusion_matrix"]
    scores, confusions = [line.split() for line in ended.out.splitlines() if line.startswith("  de ")]
    assert scores[-1] == str(true + false)
    assert confusions == ["de", str(true or "."), str(false or ".")]
    with pytest.raises(UserError, match=r"run: eval\.calibrate: this run has no temperature: it is fitted"):
        _ = load_trained(run).prediction_model


def test_a_damaged_temperature_is_refused(trained, tmp_path):
    run = copy_with(trained, tmp_path / "run", temperature=-1.0)
    with pytest.raises(
        UserError, match=r"final: damaged \(temperature: expected a number above 0\)"
    ) as caught:
        load_trained(run)
    assert caught.value.exit_code == 4


def test_tensorboard_shows_the_confusions_of_the_final_evaluation(trained):
    accumulator = EventAccumulator(str(trained[0] / "logs" / "test"))
    accumulator.Reload()
    (event,) = accumulator.Tensors("confusion_matrix")
    picture = tf.io.decode_png(event.tensor_proto.string_val[2])
    assert picture.shape[0] > 100
    assert (picture.numpy() < 128).any()


def test_a_weight_of_an_unknown_label_is_one_line_and_leaves_no_run(trained, tmp_path):
    folder = trained[0].parent
    options = ["--set", "train.class_weights={end: 3}", "--run", tmp_path / "new"]
    ended = commands.run("train", "greetings.yaml", *options, folder=folder)
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        "attnzoo: error: --set train.class_weights={end: 3}: train.class_weights: the data has no label "
        "'end' (did you mean 'en'?); its labels are: de, en."
    )
    assert not (tmp_path / "new" / "config.yaml").exists()
