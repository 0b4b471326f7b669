import subprocess
import sys

import pydantic
import pytest

from attnzoo import attention, catalog
from attnzoo.attention import additive
from attnzoo.attention.mechanisms import AttentionOptions, names, parse

every_mechanism = pytest.mark.parametrize("name", names())


def test_a_name_is_short_for_a_mapping():
    assert parse("additive") == parse({"name": "additive"}) == parse(parse("additive"))


def test_options_of_a_mechanisms_own_module_are_accepted():
    own = additive.Config(hidden_units=11)
    assert parse(own) == parse({"name": "additive", "hidden_units": 11})
    assert attention.build(own, 6).hidden_units == 11


def test_the_list_is_that_of_the_catalog():
    assert names() == catalog.names("attention")


@every_mechanism
def test_every_mechanism_is_built_with_the_options_given(name):
    options = parse(name)
    config = attention.build(options, 16, name="custom").get_config()
    assert config["name"] == "custom"
    for field in set(type(options).model_fields) - {"name"}:
        assert config[field] == getattr(options, field)


@every_mechanism
def test_every_option_is_described(name):
    for field, information in type(parse(name)).model_fields.items():
        assert information.description, field


@every_mechanism
def test_options_say_of_a_mechanism_what_its_layer_says(name):
    options, layer = parse(name), attention.build(name, 24)
    assert options.supports_cross == layer.supports_cross
    assert options.supports_causal == layer.supports_causal


def test_schema_allows_name_and_mapping():
    name, mapping = pydantic.TypeAdapter(AttentionOptions).json_schema()["anyOf"]
    assert name["enum"] == names()
    assert set(mapping["discriminator"]["mapping"]) == set(names())


def test_unknown_names_and_options_are_refused():
    with pytest.raises(pydantic.ValidationError, match=r"adit.*'additive', .*'multi_head'"):
        parse("adit")
    with pytest.raises(pydantic.ValidationError, match="head"):
        parse({"name": "multi_head", "head": 3})
    with pytest.raises(AttributeError, match="no attribute 'Attention'"):
        attention.Attention  # noqa: B018


def test_options_of_heads_are_validated():
    wrong = {"num_key_value_heads": 0, "position": "absolute", "soft_cap": 0.0, "window": -1}
    for option, value in wrong.items():
        with pytest.raises(pydantic.ValidationError, match=f"{option}(.|\n)*input_value={value!r}"):
            parse({"name": "local", option: value})


def test_options_do_not_import_tensorflow():
    code = "import sys, attnzoo.attention.options; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernel_function_is_not_hidden_by_a_module():
    import attnzoo.attention.kernel

    assert attention.attention is attnzoo.attention.kernel.attention
    assert set(attention.__all__) <= set(dir(attention))


NEW_MECHANISM = '''"""Attention to the mean of the values."""

from __future__ import annotations

from typing import Literal

import keras
from pydantic import Field

from attnzoo.attention.memory import SoftmaxAttention
from attnzoo.attention.options import MechanismOptions

Slope = Literal["flat", "steep"]


class Config(MechanismOptions):
    """Options of `EvenAttention`."""

    name: Literal["even"] = Field("even", description="Even weights.")
    slope: Slope = Field("flat", description="Not used.")


@keras.saving.register_keras_serializable("tests")
class EvenAttention(SoftmaxAttention):
    """Weighs all values alike."""

    def __init__(self, units, slope="flat", **kwargs):
        super().__init__(units, **kwargs)
        self.slope = slope

    def logits(self, query, key):
        """Returns zeros."""
        return keras.ops.zeros([*query.shape[:3], key.shape[2]])
'''
USE_OF_IT = """
import sys
from attnzoo import attention
attention.__path__.append(sys.argv[1])
from attnzoo.attention import mechanisms
from attnzoo.models import text_classifier
options = text_classifier.Config(attention={"name": "even", "slope": "steep"}).attention
assert "even" in mechanisms.names() and "EvenAttention" in attention.__all__
assert not {"keras", "tensorflow"} & set(sys.modules)
import tensorflow as tf
layer = attention.build(options, 3)
assert type(layer) is attention.EvenAttention
print(options, layer(tf.constant([[[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]])).numpy()[0, 0].tolist())
"""


def test_a_new_mechanism_is_one_file(tmp_path):
    (tmp_path / "even.py").write_text(NEW_MECHANISM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE_OF_IT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "name='even' slope='steep' [3.0, 4.0, 5.0]\n", done.stderr


TWO_LAYERS = """
import sys
from attnzoo import attention
attention.__path__.append(sys.argv[1])
attention.build("even", 3)
"""


def test_a_mechanism_with_two_layers_is_refused(tmp_path):
    registered = NEW_MECHANISM[NEW_MECHANISM.index("@keras") :]
    text = NEW_MECHANISM + "\n\n" + registered.replace("EvenAttention", "OddAttention")
    (tmp_path / "even.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", TWO_LAYERS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (
        "even.py must define exactly one attention layer that is registered with Keras. Received: "
        in done.stderr
    )
    assert "EvenAttention, OddAttention" in done.stderr
