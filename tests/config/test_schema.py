import jsonschema

from attnzoo.config import schema, source

from .conftest import VALID


def check(text):
    document = schema()
    jsonschema.Draft202012Validator.check_schema(document)
    validator = jsonschema.Draft202012Validator(document)
    return [error.message for error in validator.iter_errors(source.parse(text, "x.yaml").values)]


def test_schema_accepts_what_resolves(fake_catalog):
    assert check(VALID) == []
    assert check(VALID + "eval:\n") == []
    assert (
        check(VALID.replace("attention:\n    name: multi_head\n    num_heads: 8", "attention: local")) == []
    )


def test_schema_accepts_the_options_of_every_task(fake_catalog):
    assert check(VALID + "  smoothing: 0.1\n") == []
    assert (
        check("data: {name: pairs}\nmodel: {name: translator}\ntrain: {guided: 1}\neval: {beams: 5}\n") == []
    )


def test_schema_refuses_unknown_keys_names_and_values(fake_catalog):
    assert check(VALID + "  epoch: 3\n") != []
    assert check(VALID.replace("num_heads", "num_head")) != []
    assert check(VALID.replace("name: classifier", "name: clasifier")) != []
    assert check(VALID.replace("epochs: 3", "epochs: 0")) != []
    assert check(VALID + "  beams: 3\n") != []
    assert check(VALID + "eval: {smoothing: 0.1}\n") != []
    assert check("data: {name: pairs}\n") == ["'model' is a required property"]


def test_schema_says_what_each_choice_is(fake_catalog):
    document = schema()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert len(document["properties"]["data"]["oneOf"]) == 2
    assert len(document["properties"]["model"]["oneOf"]) == 3
    train = document["$defs"]["TrainOptions"]["properties"]
    assert train["learning_rate"]["description"] == "Peak learning rate."
    assert document["$defs"]["Classifier"]["required"] == ["name", "units"]
