import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnzoo.config import RunConfig, resolve
from attnzoo.errors import UserError

from .conftest import VALID, Additive, Classifier, Local, MultiHead, Reviews, ReviewTrainOptions

ANY_CONTEXT = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)


def test_a_file_becomes_typed_options_with_all_defaults(resolve_text):
    config = resolve_text(VALID).config
    assert config == RunConfig(
        name="x",
        seed=0,
        data=Reviews(name="reviews", label="score"),
        model=Classifier(name="classifier", units=32, attention=MultiHead(name="multi_head", num_heads=8)),
        train=ReviewTrainOptions(epochs=3),
        eval=config.eval,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


def test_every_value_knows_where_it_is_from(resolve_text):
    resolved = resolve_text(VALID, "train.batch_size=7")
    assert resolved.origin("model.attention.num_heads") == "x.yaml:10"
    assert resolved.origin("train.epochs") == "x.yaml:12"
    assert resolved.origin("train.batch_size") == "--set"
    assert resolved.origin("train.learning_rate") == "default"
    lines = resolved.to_yaml(with_origins=True).splitlines()
    assert "    num_heads: 8  # x.yaml:10" in lines
    assert "  batch_size: 7  # --set" in lines
    assert "  learning_rate: 0.001  # default" in lines
    assert "#" not in resolved.to_yaml()


def test_flat_has_one_entry_a_leaf(resolve_text):
    flat = resolve_text(VALID, "data.weights={good: 2.5}", "data.labels=[a, b]").flat()
    assert flat["train.learning_rate"] == 0.001
    assert flat["model.attention.name"] == "multi_head"
    assert flat["data.weights.good"] == 2.5
    assert flat["data.labels"] == ["a", "b"]
    assert flat["model.second"] is None
    assert "model.attention" not in flat


def test_changed_keys_are_named_and_the_label_of_the_run_is_none(resolve_text):
    first = resolve_text(VALID)
    second = resolve_text(VALID, "name=other", "train.epochs=5", "model.attention=additive")
    assert second.changed_keys(first) == [
        "model.attention.name",
        "model.attention.num_heads",
        "model.attention.units",
        "train.epochs",
    ]
    assert first.changed_keys(first.config) == []


def test_one_per_mille_is_a_number(resolve_text):
    assert resolve_text(VALID + "  learning_rate: 1e-3\n").config.train.learning_rate == 0.001


def test_whole_numbers_are_fine_where_any_number_is(resolve_text):
    assert repr(resolve_text(VALID + "  weight_decay: 1\n").config.train.weight_decay) == "1.0"


def test_text_is_taken_as_typed_where_text_is_expected(resolve_text):
    text = VALID.replace(
        "  label: score\n",
        "  label: 010\n  labels: [1, yes, null, 1e-3, ~, 'x', true]\n  train: no\n  folder: 7\n  column: 1\n",
    )
    data = resolve_text(text).config.data
    assert data.label == "010"
    assert data.labels == ["1", "yes", "null", "1e-3", "~", "x", "true"]
    assert data.train == "no"
    assert data.folder == Path("7")
    assert data.column == "1"


def test_null_stays_null_where_it_may(resolve_text):
    assert resolve_text(VALID, "data.label=null").config.data.label is None
    assert resolve_text(VALID, "data.label=").config.data.label is None


def test_an_empty_section_means_its_defaults(resolve_text):
    text = VALID.replace("train:\n  epochs: 3\n", "train:\neval:\n")
    assert resolve_text(text).config.train == ReviewTrainOptions()


@pytest.mark.parametrize(
    "written", ["attention: additive", "attention: {name: additive}", "attention:\n    name: additive"]
)
def test_a_component_may_be_given_by_its_bare_name(resolve_text, written):
    text = VALID.replace("attention:\n    name: multi_head\n    num_heads: 8", written)
    resolved = resolve_text(text)
    assert resolved.config.model.attention == Additive(name="additive")
    assert resolved.origin("model.attention.name").startswith("x.yaml:")


def test_data_and_model_may_be_given_by_their_bare_name(resolve_text):
    config = resolve_text("data: pairs\nmodel: translator\n").config
    assert (config.data.name, config.model.name) == ("pairs", "translator")


def test_set_with_a_bare_name_replaces_a_component_and_all_its_options(resolve_text):
    config = resolve_text(
        VALID.replace("num_heads: 8", "num_heads: 8\n    scale: false"), "model.attention=additive"
    )
    assert config.config.model.attention == Additive(name="additive", scale=True)


def test_set_of_a_components_name_keeps_the_options_that_the_new_one_has(resolve_text):
    text = VALID.replace("num_heads: 8", "num_heads: 8\n    scale: false")
    resolved = resolve_text(text, "model.attention.name=additive")
    assert resolved.config.model.attention == Additive(name="additive", scale=False)
    assert resolved.origin("model.attention.name") == "--set"
    assert resolved.origin("model.attention.scale") == "x.yaml:11"


def test_set_of_a_components_name_keeps_a_typo_an_error(errors_of):
    text = VALID.replace("num_heads: 8", "num_heads: 8\n    scal: false")
    assert errors_of(text, "model.attention.name=additive") == [
        "x.yaml:11: model.attention.scal: unknown key, did you mean 'scale'?"
    ]


def test_an_option_given_by_set_is_never_dropped(errors_of):
    assert errors_of(VALID, "model.attention.num_heads=2", "model.attention.name=additive") == [
        "--set model.attention.num_heads=2: model.attention.num_heads: unknown key, "
        "expected one of name, scale, units"
    ]


def test_set_of_the_models_name_keeps_the_options_that_the_new_model_has(resolve_text):
    config = resolve_text(VALID, "model.name=pooled", "model.depth=5").config
    assert config.model.model_dump() == {"name": "pooled", "units": 32, "depth": 5}


def test_set_below_a_bare_name_keeps_the_name(resolve_text):
    text = VALID.replace("attention:\n    name: multi_head\n    num_heads: 8", "attention: additive")
    assert resolve_text(text, "model.attention.units=5").config.model.attention == Additive(
        name="additive", units=5
    )


def test_set_below_an_absent_component_keeps_the_default_one(resolve_text):
    text = VALID.replace("  attention:\n    name: multi_head\n    num_heads: 8\n", "")
    assert resolve_text(text, "model.attention.num_heads=2").config.model.attention == MultiHead(
        name="multi_head", num_heads=2
    )


def test_set_reaches_deep_and_makes_the_mappings_in_between(resolve_text):
    resolved = resolve_text(VALID, "model.second.window=3", "model.second.name=local", "eval.every=11")
    assert resolved.config.model.second == Local(name="local", window=3)
    assert resolved.config.eval.every == 11


def test_set_takes_lists_and_mappings_and_the_last_one_wins(resolve_text):
    overrides = ["model.stages=[additive, {name: local, window: 3}]", "seed=5", "seed=7", "train.epochs=2"]
    config = resolve_text(VALID, *overrides).config
    assert config.model.stages == [Additive(name="additive"), Local(name="local", window=3)]
    assert (config.seed, config.train.epochs) == (7, 2)


def test_epochs_take_the_place_of_the_steps_of_a_file_and_the_last_one_wins(resolve_text):
    text = VALID.replace("  epochs: 3\n", "  steps: 100\n")
    resolved = resolve_text(text, "train.epochs=2")
    assert (resolved.config.train.epochs, resolved.config.train.steps) == (2, None)
    assert resolved.origin("train.steps") == "default"
    assert resolve_text(text, "train.steps=5", "train.epochs=2").config.train.steps is None
    assert resolve_text(text, "train.epochs=2", "train.steps=5").config.train.steps == 5


def test_a_value_may_hold_an_equals_sign(resolve_text):
    assert resolve_text(VALID, "data.label=a=b").config.data.label == "a=b"


def test_the_run_is_named_after_the_file_or_as_the_config_says(resolve_text):
    assert resolve_text(VALID).config.name == "x"
    assert resolve_text("name: 12\n" + VALID).config.name == "12"


def test_a_stored_config_is_read_back(resolve_text, tmp_path):
    resolved = resolve_text(VALID, "name=dates")
    Path("run").mkdir()
    Path("run/config.yaml").write_text(resolved.to_yaml(), encoding="utf-8")
    assert RunConfig.read(Path("run/config.yaml")) == resolved.config
    with pytest.raises(UserError, match=r"^other/config\.yaml: not found; is this a run folder\?$"):
        RunConfig.read(Path("other/config.yaml"))


def test_a_missing_file_is_an_error_that_names_a_near_one(fake_catalog, empty_folder):
    Path("configs").mkdir()
    Path("configs/dates.yaml").write_text("data: x\n")
    with pytest.raises(UserError) as caught:
        resolve("configs/dats.yaml")
    assert str(caught.value) == ("configs/dats.yaml: no such config file, did you mean 'dates'?")
    with pytest.raises(UserError, match=r"no such config file, see `attnzoo list configs`$"):
        resolve("something.yaml")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=13)


@ANY_CONTEXT
@given(
    label=NAMES
    | st.sampled_from(["no", "1e-3", "null", "", "~", "010", "a: b", "# x", "- a", "'", '"', "\u2028"]),
    labels=st.lists(NAMES, max_size=5),
    weights=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    rate=st.floats(1e-300, 1e300),
    seed=st.integers(0, 2**32 - 1),
    attention=st.sampled_from([Additive(name="additive", units=3), Local(name="local", window=5)]),
)
def test_what_is_written_is_read_back_as_the_same_config(
    resolve_text, label, labels, weights, rate, seed, attention
):
    base = resolve_text(VALID).config
    config = dataclasses.replace(
        base,
        seed=seed,
        data=Reviews(name="reviews", label=label, labels=labels, weights=weights),
        model=Classifier(name="classifier", units=32, attention=attention),
        train=ReviewTrainOptions(learning_rate=rate),
    )
    again = RunConfig.from_yaml_text(config.to_yaml(), "x.yaml")
    assert again == config
    assert again.to_yaml() == config.to_yaml()
    assert resolve_text(config.to_yaml()).to_yaml() == config.to_yaml()
    assert resolve_text(resolve_text(config.to_yaml()).to_yaml(with_origins=True)).config == config
