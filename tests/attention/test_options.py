import subprocess
import sys

import pydantic
import pytest

from attnzoo import attention
from attnzoo.attention.options import AdditiveOptions, AttentionOptions, parse

NAMES = [
    "multi_head",
    "local",
    "linear",
    "additive",
    "dot_product",
    "sigmoid",
    "spatial",
    "squeeze_excitation",
    "cbam",
]


def test_bare_name_is_short_for_a_mapping():
    assert parse("additive") == parse({"name": "additive"}) == parse(AdditiveOptions()) == AdditiveOptions()


@pytest.mark.parametrize("name", NAMES)
def test_every_mechanism_is_built_with_the_options_given(name):
    options = parse(name)
    config = attention.build(options, 16, name="found").get_config()
    assert config["name"] == "found"
    for field in set(type(options).model_fields) - {"name"}:
        assert config[field] == getattr(options, field)


def test_every_option_is_described():
    for name in NAMES:
        for field, information in type(parse(name)).model_fields.items():
            assert information.description, f"{name}.{field}"


def test_schema_allows_name_and_mapping():
    name, mapping = pydantic.TypeAdapter(AttentionOptions).json_schema()["anyOf"]
    assert name["enum"] == NAMES
    assert set(mapping["discriminator"]["mapping"]) == set(NAMES)


def test_unknown_names_and_options_are_refused():
    with pytest.raises(pydantic.ValidationError, match=r"adit.*'multi_head', .*'additive'"):
        parse("adit")
    with pytest.raises(pydantic.ValidationError, match="head"):
        parse({"name": "multi_head", "head": 3})
    with pytest.raises(AttributeError, match="no attribute 'Attention'"):
        attention.Attention  # noqa: B018


def test_options_of_heads_stay_in_their_ranges():
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
