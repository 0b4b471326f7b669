"""Malformed configs."""

from __future__ import annotations

from tests.robustness.malformed import BAD_CONFIG, SMALL_TEXT, Case, holding

SOUND = "data: {name: csv, train: train.csv, vocabulary_size: 64}\n" + SMALL_TEXT


def config_case(name: str, content, message: str) -> Case:
    return Case(f"config: {name}", BAD_CONFIG, message, holding(content))


def changed(name: str, old: str, new: str, message: str) -> Case:
    """A sound config with one thing changed."""
    assert old in SOUND
    return config_case(name, SOUND.replace(old, new, 1), message)


def alias_bomb() -> bytes:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    return "\n".join(rows).encode()


ATTACKS = [
    config_case("an alias bomb", alias_bomb, ":1:5: anchor &a0, expected a value without anchor"),
    config_case("a self reference", "a: &a [*a]\n", ":1:4: anchor &a, expected a value without anchor"),
    config_case("a merge of an alias", SOUND + "x: {<<: *a}\n", ":4:9: alias *a, expected the value itself"),
    config_case("3,000 levels of lists", "a: " + "[" * 3000, ":1:53: nested more than 50 levels deep"),
    config_case("3,000 levels of mappings", "a: " + "{a: " * 3000, ":1:200: nested more than 50 levels deep"),
    config_case("3,000 levels of dashes", "- " * 3000, ":1:101: nested more than 50 levels deep"),
    config_case(
        "50 MB", lambda: b"# " + b"x" * 50_000_000, ": 50000002 bytes long, expected a config of at most"
    ),
    config_case(
        "200,000 values",
        lambda: b"a: [" + b"1, " * 200_000 + b"1]",
        ":1:30002: more than 10,000 values, expected some dozens",
    ),
    config_case(
        "200,000 keys", lambda: b"".join(b"k%d: 1\n" % n for n in range(99_000)), ":10000:8: more than 10,000"
    ),
    config_case(
        "a Python object", "a: !!python/object/apply:os.system [true]\n", ":1:4: tag !!python/object/apply"
    ),
    config_case("a Python name", "a: !!python/name:os.system\n", ":1:4: tag !!python/name:os.system"),
]

CONFIGS = [
    config_case("empty", b"", ":1:1: the file is empty"),
    config_case("a list", b"- data\n", ":1:1: the file holds a list"),
    config_case("a table", b"text,label\na,b\n", ":1:1: the file holds text"),
    config_case("a picture", b"\x89PNG\r\n\x1a\n", ":1:1: byte 0x89 is not UTF-8"),
    config_case("UTF-16", SOUND.encode("utf-16"), ":1:1: byte 0xff is not UTF-8"),
    config_case("NUL", SOUND.encode() + b"\0", ":4:1: control character U+0000"),
    config_case("a tab", "data:\n\tname: csv\n", ":2:1: a tab, expected spaces"),
    config_case("an open bracket", SOUND + "eval: {every: 3\n", ":5:1: not valid YAML"),
    config_case("two documents", SOUND + "---\n" + SOUND, ":4:1: a second document starts here"),
    config_case(
        "a key twice", SOUND + "train: {epochs: 1}\n", ":4:1: key 'train' appears twice, first in line 3"
    ),
    changed("an unknown key", "epochs", "epohcs", ":3: train.epohcs: unknown key, did you mean 'epochs'?"),
    changed("an unknown model", "text_classifier", "text_clasifier", ":2: model.name: unknown model"),
    changed("a word for a number", "epochs: 1", "epochs: one", ":3: train.epochs: expected a whole number"),
    changed("an underscore", "epochs: 1", "epochs: 1_000", ":3: train.epochs: expected a whole number"),
    changed("a time", "epochs: 1", "epochs: 12:30:45", ":3: train.epochs: expected a whole number"),
    changed("a date", "epochs: 1", "epochs: 2021-03-07", ":3: train.epochs: expected a whole number"),
    changed("on", "xla: false", "xla: on", ":3: train.xla: expected 'auto' or true or false, received 'on'"),
    changed(
        "not a number",
        "epochs: 1",
        "learning_rate: .nan",
        ":3: train.learning_rate: expected a finite number",
    ),
    changed(
        "infinity", "epochs: 1", "learning_rate: .inf", ":3: train.learning_rate: expected a finite number"
    ),
    changed(
        "too large", "epochs: 1", "learning_rate: 1e999", ":3: train.learning_rate: expected a finite number"
    ),
    *ATTACKS,
]
