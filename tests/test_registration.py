"""Keras knows the layers as soon as the package is imported."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from attnzoo import attention, registration
from attnzoo.layers.transformer import EncoderBlock
from tests.arrays import close

PACKAGE = Path(registration.__file__).parent
LOAD = """
import importlib.util, sys
import attnzoo
assert not {"tensorflow", "keras"} & set(sys.modules)
assert importlib.util.find_spec("keras")
import keras, numpy
model = keras.models.load_model(sys.argv[1])
print(model(numpy.ones([1, 3, 8], "float32")).numpy().ravel().tolist())
"""


def test_a_model_loads_in_a_process_that_imports_nothing_but_the_package(tmp_path):
    inputs = keras.Input((None, 8))
    hidden = EncoderBlock(8, feed_forward_units=8)(attention.AdditiveAttention(8)(inputs))
    model = keras.Model(inputs, attention.AttentionPooling()(hidden))
    model.save(tmp_path / "model.keras")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    close(np.array([json.loads(done.stdout)]), model(np.ones([1, 3, 8], "float32")))


def test_every_class_that_registers_itself_is_known():
    files = PACKAGE.rglob("*.py")
    names = [name for path in files for name in registration.layer_names(path)]
    assert sorted(names) == sorted(registration.layer_modules())
    for module in registration.layer_modules().values():
        importlib.import_module(module)
    registered = keras.saving.get_custom_objects()
    assert {name: registered[f"attnzoo>{name}"].__module__ for name in names} == registration.layer_modules()


EVERY_LAYER = """
import importlib, pathlib
import attnzoo
importlib.reload(attnzoo)
import keras
known = {name for name in keras.saving.get_custom_objects() if name.startswith("attnzoo>")}
for folder in ("attention", "layers"):
    for path in pathlib.Path(attnzoo.__file__).parent.joinpath(folder).glob("*.py"):
        importlib.import_module(f"attnzoo.{folder}.{path.stem}")
print(known == {name for name in keras.saving.get_custom_objects() if name.startswith("attnzoo>")})
"""


@pytest.mark.slow
def test_no_layer_is_missed_and_the_package_may_be_reloaded():
    done = subprocess.run([sys.executable, "-c", EVERY_LAYER], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr


def test_layers_are_known_too_where_keras_was_imported_first(monkeypatch):
    config = keras.saving.serialize_keras_object(attention.AttentionPooling(hidden_units=3))
    monkeypatch.delitem(keras.saving.get_custom_objects(), "attnzoo>AttentionPooling")
    registration.register_with_keras()
    loaded = keras.saving.deserialize_keras_object(config)
    assert type(loaded) is attention.AttentionPooling
    assert loaded.get_config()["hidden_units"] == 3
