"""What a run takes from the one that `train.init_from` names."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog, tasks
from attnzoo.config import RunConfig, resolve
from attnzoo.errors import UserError
from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.labels import Labels
from attnzoo.features.number import Number
from attnzoo.features.text import Text
from attnzoo.runs.building import build_model
from attnzoo.runs.folder import RunDir
from attnzoo.training import initial
from attnzoo.variables import by_name, read_values, write_tensors
from tests import recipes
from tests.thinned import thinned

LEARNED = {
    Text: {"vocabulary_size": 17},
    Image: {"shape": (9, 11, 3), "mean": (0.5,) * 3, "std": (0.2,) * 3},
    Boxes: {"names": ("a", "b")},
    Label: {"names": ("a", "b", "c")},
    Labels: {"names": ("a", "b", "c")},
    Number: {"mean": 3.0, "std": 2.0},
}
DATA = {
    "detection": "{name: shapes}",
    "image_classification": "{name: image_folder, train: x}",
    "image_regression": "{name: image_table, train: x.csv}",
    "translation": "{name: parallel_text, train: [x.a, x.b]}",
    "multi_label_classification": "{name: csv, train: x.csv, label_separator: ';'}",
}
MORE = {
    "image_classifier": [", stages: [{width: 4, depth: 1, attention: squeeze_excitation}]"],
    "text_classifier": [", naive_bayes: 2, naive_bayes_buckets: 7", ", recurrent: gru"],
}
CASES = [(name, more) for name in catalog.names("models") for more in ("", *MORE.get(name, []))]


def info_of(task):
    features = {
        name: feature.model_copy(update=LEARNED[type(feature)])
        for name, feature in tasks.load(task).features.items()
        if type(feature) in LEARNED
    }
    lengths = {name: 7 for name, feature in features.items() if feature.has_lengths}
    return DataInfo(task, features, buckets=(lengths,) if lengths else ())


def inputs_of(info):
    generator = np.random.default_rng(3)
    inputs = {}
    for name, feature in info.features.items():
        if isinstance(feature, Text):
            inputs[name] = generator.integers(4, 17, (5, 7)).astype(np.int32)
        elif isinstance(feature, Image):
            inputs[name] = generator.normal(size=(5, *feature.shape)).astype(np.float32)
    return inputs


def outputs_of(model, inputs):
    return np.concatenate([np.ravel(one) for one in tf.nest.flatten(model(inputs, training=False))])


@pytest.mark.parametrize(("name", "more"), thinned(CASES, 4))
def test_a_run_that_starts_from_another_and_takes_no_step_is_that_one(tmp_path, name, more):
    task = catalog.load("models", name).TASK
    info = info_of(task)

    def built(seed):
        data = DATA.get(task, "{name: csv, train: x.csv}")
        return build_model(
            RunConfig.from_yaml_text(f"seed: {seed}\ndata: {data}\nmodel: {{name: {name}{more}}}\n"), info
        )

    source, generator = built(1), np.random.default_rng(7)
    for variable in source.weights:
        if variable.dtype == "float32":
            variable.assign(generator.uniform(0.1, 0.9, variable.shape))
    run = RunDir(tmp_path)
    run.checkpoints.mkdir()
    write_tensors(run.final, read_values(by_name(source.weights, "model")), {})
    model = built(2)
    inputs = {name: tf.constant(value) for name, value in inputs_of(info).items()}

    before = outputs_of(model, inputs)
    assert initial.assign_weights(run, model) == (len(source.weights), [])
    after = outputs_of(model, inputs)
    np.testing.assert_array_equal(after, outputs_of(source, inputs))
    assert not np.array_equal(after, before)


@pytest.fixture
def other(tmp_path):
    """A run folder of which only the config is there."""
    folder = tmp_path / "other"
    folder.mkdir()
    options = ("data.tokenizer=bpe", "data.vocabulary_size=60", "data.lowercase=false")
    (folder / "config.yaml").write_text(recipes.text_config(tmp_path, *options).to_yaml(), "utf-8")
    (folder / "info.json").write_text('{"format": 3}')
    return folder


def test_the_options_of_the_other_vocabulary_are_adopted_and_saved(tmp_path, other):
    path = tmp_path / "new.yaml"
    path.write_text(
        f"data: {{name: csv, train: {tmp_path}/train.csv}}\nmodel: {{name: text_classifier}}\n"
        f"train: {{init_from: {other}}}\n"
    )
    resolved, taken = initial.with_options(resolve(path))
    assert taken == ["data.tokenizer=bpe", "data.lowercase=false", "data.vocabulary_size=60"]
    assert resolved.config.data.tokenizer == "bpe"
    assert "tokenizer: bpe  # train.init_from" in resolved.to_yaml(with_origins=True)
    assert initial.with_options(resolved)[1] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["data.tokenizer=words", "data.lowercase=true"],
            r"^--set: train\.init_from: .*other: its vocabulary was learned with "
            r"data\.tokenizer=bpe, data\.lowercase=false, data\.vocabulary_size=60",
        ),
        (["data.tokenizer=bpe", "data.lowercase=false"], r"greetings.yaml:\d+: .* remove it\.$"),
    ],
)
def test_other_options_of_the_vocabulary_are_refused_by_their_keys(tmp_path, other, options, message):
    resolved = recipes.text_config(tmp_path, *options, f"train.init_from={other}")
    with pytest.raises(UserError, match=message):
        initial.with_options(resolved)


def test_what_auto_stands_for_is_no_other_option(tmp_path, other):
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("tokenizer: bpe", "tokenizer: auto"))
    options = ("data.tokenizer=words", "data.lowercase=false", "data.vocabulary_size=60")
    resolved = recipes.text_config(tmp_path, *options, f"train.init_from={other}")
    assert initial.with_options(resolved)[1] == []
