import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnzoo.config import source
from attnzoo.errors import ConfigErrors, UserError

BAD_ESCAPE = "an escape in the text is a NUL or half a character, expected \\UXXXXXXXX for emoji"


def error_of(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        source.parse(text, "x.yaml")
    assert caught.value.exit_code == 2
    [line] = caught.value.lines
    return line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("+12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o10", 8),
        ("0xff", 255),
        (".5", 0.5),
        ("7.", 7.0),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2021-03-07", "2021-03-07"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("0b11", "0b11"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    parsed = source.parse(f"key: {text}\n", "x.yaml").values["key"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_is_a_number():
    value = source.parse("key: .nan", "x.yaml").values["key"]
    assert value != value


@pytest.mark.parametrize("text", ['"1"', "'1'", '"true"', "'~'"])
def test_quoted_scalars_are_text(text):
    document = source.parse(f"key: {text}", "x.yaml")
    assert document.values == {"key": text[1:-1]}
    assert ("key",) not in document.raw


def test_keys_are_text_as_typed():
    assert source.parse("1: a\nno: b\nnull: c\n010: d", "x.yaml").values == {
        "1": "a",
        "no": "b",
        "null": "c",
        "010": "d",
    }


def test_every_key_and_item_has_its_line_and_unquoted_text_is_kept():
    text = "# comment\ntrain:\n  epochs: 3\n\n  flow: {rate: 1e-3, list: [1,\n    no]}\n"
    document = source.parse(text, "configs/x.yaml")
    assert document.values == {"train": {"epochs": 3, "flow": {"rate": 0.001, "list": [1, "no"]}}}
    lines = {path: origin.label for path, origin in document.origins.items()}
    assert lines[("train",)] == "configs/x.yaml:2"
    assert lines[("train", "epochs")] == "configs/x.yaml:3"
    assert lines[("train", "flow", "rate")] == "configs/x.yaml:5"
    assert lines[("train", "flow", "list", 0)] == "configs/x.yaml:5"
    assert lines[("train", "flow", "list", 1)] == "configs/x.yaml:6"
    assert document.raw[("train", "flow", "rate")] == "1e-3"
    assert document.raw[("train", "flow", "list", 1)] == "no"


def test_origin_near_falls_back_to_what_is_around():
    document = source.parse("a:\n  b: 1\nc: 2", "x.yaml")
    assert document.origin_near(("a", "b", "z")).label == "x.yaml:2"
    assert document.origin_near(("a", "z")).label == "x.yaml:1"
    assert document.origin_near(("z", "z")).label == "x.yaml:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml:1:1: the file is empty, expected sections such as data, model and train"),
        ("# only\n", "x.yaml:1:1: the file is empty, expected sections such as data, model and train"),
        ("- a", "x.yaml:1:1: the file holds a list, expected sections such as data, model and train"),
        ("5", "x.yaml:1:1: the file holds a number, expected sections such as data, model and train"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: key 'a' appears twice, first in line 1; keep one of them"),
        ("a: {b: 1, b: 2}", "x.yaml:1:11: key 'b' appears twice, first in line 1; keep one of them"),
        ("a: &one 1", "x.yaml:1:4: anchor &one, expected a value without anchor"),
        ("a: 1\nb: *one", "x.yaml:2:4: alias *one, expected the value itself written out"),
        ("a: &one [*one]", "x.yaml:1:4: anchor &one, expected a value without anchor"),
        ("a: !!str 1", "x.yaml:1:4: tag !!str, expected a value without tag; put text in quotes"),
        ("a: !mine 1", "x.yaml:1:4: tag !mine, expected a value without tag; put text in quotes"),
        ("a: 1\n---\nb: 1", "x.yaml:2:1: a second document starts here, expected one document per file"),
        ("a:\n\tb: 1", "x.yaml:2:1: a tab, expected spaces"),
        ("? [a]\n: 1", "x.yaml:1:3: a key that is a list or a mapping, expected a word"),
        ("a: [1, 2", "x.yaml:1:9: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: b: c", "x.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: \x00", "x.yaml:2:4: control character U+0000, expected printable text"),
        ("a: \x85", "x.yaml:1:4: control character U+0085, expected printable text"),
        ("a: " + "9" * 301, "x.yaml:1:4: number of 301 digits, expected at most 300"),
        ("a: " + "[" * 3000, "x.yaml:1:53: nested more than 50 levels deep, expected 2 or 3"),
        (
            'a: "\\0"',
            "x.yaml:1:4: " + BAD_ESCAPE,
        ),
        (
            'a: 1\n"\\ud800": 1',
            "x.yaml:2:1: " + BAD_ESCAPE,
        ),
        ('a: 1\nb: "\\U00110000"', "x.yaml:2:1: an escape is not a character, expected at most \\U0010FFFF"),
    ],
)
def test_what_could_mislead_is_refused_with_line_and_column(text, message):
    assert error_of(text) == message


def test_python_tags_are_refused():
    assert "tag !!python/object/apply:os.system" in error_of("a: !!python/object/apply:os.system [true]")


def test_an_alias_bomb_is_refused_at_once():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 13)]
    begin = time.monotonic()
    assert error_of("\n".join(rows)) == "x.yaml:1:5: anchor &a0, expected a value without anchor"
    assert time.monotonic() - begin < 1.0


def test_files_are_limited_in_size(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(UserError, match=r"x\.yaml: 1048578 bytes long, expected a config of at most 1048576"):
        source.read(path)
    with pytest.raises(
        UserError, match=re.escape("x.yaml: too long, expected a config of at most 1048576 bytes")
    ):
        source.parse("# " + "x" * (1 << 20), "x.yaml")


def test_wrong_utf_8_is_refused_with_its_place(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes("a: 1\nbé: ".encode() + b"\xff\n")
    with pytest.raises(ConfigErrors) as caught:
        source.read(path)
    assert caught.value.lines == [f"{path}:2:5: byte 0xff is not UTF-8, expected a UTF-8 text file"]


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert source.read(path).values == {"a": 1, "b": 2}


def test_a_folder_is_not_a_config(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read .*, expected a config file"):
        source.read(tmp_path)


def test_a_value_of_the_command_line_is_a_scalar_or_a_bracket():
    origin = source.Origin("--set a=b", (1, 0))
    document = source.parse_value("{name: local, sizes: [1e-3, no]}", origin)
    assert document.values == {"name": "local", "sizes": [0.001, "no"]}
    assert set(document.origins.values()) == {origin}
    assert source.parse_value("", origin).values is None
    with pytest.raises(
        ConfigErrors, match=r"^--set a=b: control character U\+0007, expected printable text$"
    ):
        source.parse_value("\x07", origin)
    with pytest.raises(ConfigErrors, match=r"^--set a=b: not valid YAML: "):
        source.parse_value("[1", origin)


def outcome(text):
    try:
        return source.parse(text, "x.yaml").values
    except UserError as error:
        return str(error)


def is_mapping_or_one_line_of_error(result):
    return isinstance(result, dict) or (result.startswith("x.yaml:") and "\n" not in result)


@given(st.text(max_size=60))
def test_any_text_gives_values_or_one_line_of_error(text):
    assert is_mapping_or_one_line_of_error(outcome(text))


@given(st.text(alphabet=" \n\t:-[]{},&*!?|>'\"%@#ab01.\\~<", max_size=40))
def test_any_mixture_of_yaml_signs_gives_values_or_one_line_of_error(text):
    assert is_mapping_or_one_line_of_error(outcome(text))
