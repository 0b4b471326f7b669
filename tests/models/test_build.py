"""Every shipped config gives a model that computes, trains with `fit`, and ignores padding."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import resolve
from attnzoo.errors import UserError
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text
from attnzoo.layers.batch_normalization import has_batch_statistics, require_shared_statistics
from attnzoo.runs.building import build_model
from tests import mechanisms
from tests.thinned import thinned

CONFIGS = [name for name in catalog.names("configs") if not name.startswith("detect")]
"""Those of one output; `test_detectors` has the others."""
LABELS = ("a", "b", "c")


def make_info(task, vocabulary=17):
    if task == "image_classification":
        image = Image(shape=(11, 13, 3), mean=(0.5,) * 3, std=(0.2,) * 3)
        return DataInfo(task, {"image": image, "label": Label(names=LABELS)})
    if task == "text_classification":
        features = {"text": Text(vocabulary_size=17), "label": Label(names=LABELS)}
        return DataInfo(task, features, buckets=({"text": 19},))
    features = {
        "source": Text(ends=True, vocabulary_size=17),
        "target": Text(ends=True, vocabulary_size=vocabulary),
    }
    return DataInfo(task, features, buckets=({"source": 7, "target": 5},))


def make_inputs(task, count=5):
    generator = np.random.default_rng(3)
    if task == "image_classification":
        return {"image": generator.normal(size=(count, 11, 13, 3)).astype(np.float32)}
    names = ("text",) if task == "text_classification" else ("source", "target")
    return {name: generator.integers(4, 17, (count, 7)).astype(np.int32) for name in names}


ONE_LAYER = ("model.num_encoder_layers=1", "model.num_decoder_layers=1")


def built(name, *overrides, whole=False):
    """A shipped model; of a translator one layer of each kind, unless the whole is asked for."""
    if name.startswith("translate") and not whole:
        overrides = (*overrides, *ONE_LAYER)
    config = resolve(catalog.config_path(name), list(overrides)).config
    task = catalog.load("models", config.model.name).TASK
    return build_model(config, make_info(task)), task


def test_replicas_share_the_statistics_of_a_model_of_texts():
    model, _ = built("text_learned_weights")
    assert has_batch_statistics(model)
    require_shared_statistics(model)


@pytest.mark.parametrize("name", thinned(CONFIGS, 4))
def test_every_shipped_model_computes_finite_logits(name):
    model, task = built(name)
    logits = model(make_inputs(task), training=False)
    assert logits.shape == ((5, 7, 17) if task == "translation" else (5, 3))
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "translate_multi30k"])
def test_variable_paths_are_unique(name):
    model, _ = built(name, whole=True)
    paths = [variable.path for variable in model.variables]
    assert len(paths) == len(set(paths))
    again, _ = built(name, whole=True)
    assert [variable.path for variable in again.variables] == paths


@pytest.mark.slow
@pytest.mark.parametrize("name", thinned([name for name in CONFIGS if not name.startswith("image")], 3))
def test_more_padding_changes_nothing(name):
    model, task = built(name)
    inputs = make_inputs(task)
    padded = {key: np.pad(ids, [[0, 0], [0, 6]]) for key, ids in inputs.items()}
    expected = model(inputs, training=False)
    actual = model(padded, training=False)
    actual = actual[:, :7] if task == "translation" else actual
    np.testing.assert_allclose(actual, expected, atol=2e-5)


@pytest.mark.parametrize(
    "option", thinned(["recurrent=gru", "recurrent=lstm", "convolution=3", "window=3", "ngrams=3"], 4)
)
def test_first_layers_of_a_text_use_the_order_and_ignore_padding(option):
    model, task = built("text_languages", f"model.{option}", "model.ngram_buckets=101", "model.position=none")
    if option.startswith("ngrams"):
        table = model.get_layer("ngrams").embeddings
        table.assign(np.random.default_rng(5).normal(size=table.shape))
    inputs = make_inputs(task)
    expected = model(inputs, training=False)
    padded = {"text": np.pad(inputs["text"], [[0, 0], [0, 6]])}
    np.testing.assert_allclose(model(padded, training=False), expected, atol=2e-5)
    assert not np.allclose(model({"text": inputs["text"][:, ::-1]}, training=False), expected, atol=1e-3)


@pytest.mark.parametrize("option", ["window=5", "num_layers=0"])
def test_attention_that_pools_may_score_by_a_hidden_layer(option):
    model, task = built("text_languages", f"model.{option}", "model.pooling_hidden_units=7")
    pooling = model.get_layer("pooling")
    score = (pooling.windows if option == "window=5" else pooling).score
    assert score.hidden_units == 7
    assert np.isfinite(model(make_inputs(task), training=False)).all()


def test_windows_are_pooled_by_attention_alone():
    config = resolve(catalog.config_path("text_languages"), ["model.window=5"]).config
    model = config.model.model_copy(update={"pooling": "mean"})
    with pytest.raises(UserError, match=r"`window` goes with pooling: attention\. Received: pooling=mean"):
        build_model(dataclasses.replace(config, model=model), make_info("text_classification"))


@pytest.mark.parametrize(
    "name",
    thinned(["text_additive", "image_sigmoid_attention", "translate_dates"], 3),
)
def test_models_train_with_compile_and_fit(name):
    model, task = built(name)
    inputs = make_inputs(task)
    labels = inputs["target"] if task == "translation" else np.arange(5) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=loss)
    history = model.fit(inputs, labels, epochs=11, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize("name", thinned(["text_languages", "image_digits", "translate_dates"], 2))
def test_models_survive_a_keras_file(name, tmp_path):
    model, task = built(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = make_inputs(task)
    np.testing.assert_allclose(loaded(inputs), model(inputs), atol=1e-6)


@pytest.mark.parametrize("attention", thinned(mechanisms.CROSS, 5))
@pytest.mark.parametrize("name", thinned(["translate_dates", "image_digits", "text_scaled_dot_product"], 3))
def test_the_attention_mechanism_is_changed_by_its_name(name, attention):
    model, task = built(name, f"model.attention={attention}")
    assert np.isfinite(model(make_inputs(task), training=False)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", ["text_languages", "image_digits", "translate_dates"])
def test_mixed_precision_gives_nearly_the_same_logits(name, precision):
    model, task = built(name)
    inputs = make_inputs(task)
    expected = model(inputs).numpy()
    try:
        mixed, _ = built(name, f"train.precision={precision}")
        mixed.set_weights(model.get_weights())
        np.testing.assert_allclose(mixed(inputs), expected, atol=0.1 + 0.05 * np.abs(expected).max())
    finally:
        keras.config.set_dtype_policy("float32")


def test_the_seed_decides_the_first_weights():
    one, two, other = (built("image_digits", f"seed={seed}")[0].get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_sharing_embeddings_of_two_vocabularies_is_refused():
    config = resolve(catalog.config_path("translate_multi30k"), []).config
    info = make_info("translation", vocabulary=13)
    with pytest.raises(UserError, match=r"received 17 and 13 token ids\. Set data\.shared"):
        build_model(config, info)


def test_decoding_step_by_step_gives_the_logits_of_one_call():
    model, _ = built("translate_dates")
    inputs = make_inputs("translation")
    expected = model(inputs, training=False).numpy()
    encoded, mask = model.encode(tf.constant(inputs["source"]), training=False)
    caches = model.start(encoded, 1, 7)
    for position in range(7):
        tokens = tf.constant(inputs["target"][:, position, None])
        logits, caches, weights = model.step(tokens, caches, tf.constant(position), None, mask)
        np.testing.assert_allclose(logits[:, 0], expected[:, position], atol=1e-4)
        np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1.0, atol=1e-4)


def test_options_that_do_not_go_together_are_one_line():
    config = resolve(catalog.config_path("image_digits")).config
    attention = config.model.attention.model_copy(update={"num_heads": 7})
    config = dataclasses.replace(config, model=config.model.model_copy(update={"attention": attention}))
    with pytest.raises(UserError, match=r"^model image_classifier: .*num_heads=7"):
        build_model(config, make_info("image_classification"))
