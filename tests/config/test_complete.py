"""What `attnzoo config check` calls correct builds and trains, and what it refuses it refuses with reason."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import checkup, resolve
from attnzoo.config.writing import to_text
from attnzoo.errors import ConfigErrors
from attnzoo.runs.data import load_task
from attnzoo.training import optimizers
from attnzoo.training.step import TrainStep
from tests.config import made
from tests.config.drawing import Drawing

CHANGES = 100
"""Values of a key that are tried in the place of a wrong one."""
MESSAGES = 60
"""Rounds of messages: with a wrong type in it, a config is not looked at as a whole."""


def check(values, path):
    """Returns the config, or the lines that say what is wrong with it."""
    path.write_text(to_text(values), "utf-8")
    try:
        resolved = resolve(path)
        checkup.notes(resolved)
        checkup.require_installed(resolved)
    except ConfigErrors as error:
        return None, error.lines
    return resolved.config, []


def corrected(drawing, path):
    """Changes keys that messages name until nothing is wrong, and returns the config and the messages."""
    config, lines = check(drawing.values, path)
    said = lines
    for _ in range(MESSAGES):
        if not lines:
            return config, said
        drawing.values, config, lines = without_first(drawing, lines, path)
        said = said + lines
    raise AssertionError(f"no end of messages: {said[-3:]}\n{to_text(drawing.values)}")


def without_first(drawing, lines, path):
    """Changes the key that the first message names so that no message names it."""
    where, key, _ = lines[0].split(": ", 2)
    assert where.startswith(f"{path}:"), lines[0]
    for values in drawing.alternatives(key.split("."), CHANGES):
        config, left = check(values, path)
        if not any(line.split(": ", 2)[1] == key for line in left):
            return values, config, left
    raise AssertionError(f"no other value helps: {lines[0]}\n{to_text(drawing.values)}")


def build(config, info):
    """Returns the model, without what `build_model` does for the memory and for the same weights again."""
    keras.config.set_dtype_policy(config.train.precision)
    return catalog.load("models", config.model.name).build(config.model, info)


def take_step(config, task, info, model):
    """Returns the loss of a training step."""
    optimizer = optimizers.build(config.train)
    step = TrainStep(model, optimizer, task, info, config.train, tf.distribute.get_strategy(), xla=False)
    step._compiled_update = step._update  # XLA takes seconds for it
    sums = step.step([made.batch_of(config, task, info)], 1e-3)
    return float(sums["loss"][0] / sums["loss"][1])


def build_draws(seeds, steps, path):
    """Builds the config of each seed, and takes a training step with the first `steps` of them."""
    said, taken = [], 0
    keras.backend.clear_session()
    for seed in seeds:
        drawing = Drawing(seed)
        config, lines = corrected(drawing, path)
        said += lines
        try:
            task = load_task(config)
            info = made.info_of(config, task)
            model = build(config, info)
            if taken < steps and not needs_links(config):
                assert np.isfinite(take_step(config, task, info, model))
                taken += 1
        except Exception as error:
            raise AssertionError(f"seed {seed} is called correct:\n{to_text(drawing.values)}") from error
        finally:
            keras.config.set_dtype_policy("float32")
    assert taken == steps
    return said


def needs_links(config):
    """Whether targets of batches come from the texts themselves."""
    return bool(config.train.model_dump().get("guided_alignment"))


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_is_called_correct_builds_and_what_is_refused_names_the_key_to_change(part, tmp_path):
    assert build_draws(range(part * 20, part * 20 + 20), 3, tmp_path / "x.yaml")


@pytest.mark.slow
@pytest.mark.own_process
@pytest.mark.parametrize("part", range(20))
def test_many_configs_that_are_called_correct_build(part, tmp_path):
    first = 1000 + part * 100
    assert build_draws(range(first, first + 100), 10, tmp_path / "x.yaml")


def test_draws_are_of_every_model_and_task():
    drawn = [Drawing(seed).values for seed in range(150)]
    models = {values["model"]["name"] for values in drawn}
    assert models == set(catalog.names("models"))
