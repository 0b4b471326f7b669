"""Parses YAML to plain values with their positions.

Scalars follow the core schema of YAML 1.2: `1e-3` is a number; `no`, `on`, `1_000`, `12:30:45` and dates are
text; `010` is ten (octal is `0o10`). Mapping keys are text as typed. Constructs that make a config hard to
read are refused: duplicate keys, anchors and aliases, tags, several documents, control characters.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from attnzoo.errors import ConfigErrors, UserError

KeyPath = tuple[str | int, ...]
"""Keys from the root to a value: `("train", "learning_rate")`."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_VALUES = 10_000
MAX_DIGITS = 300

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOLEAN = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclasses.dataclass(frozen=True)
class Origin:
    """The position where a value was written.

    Attributes:
        label: human-readable position: `configs/x.yaml:12` or `--set train.epochs=3`.
        order: sort key for errors: (0, line) in a file, (1, index) on the command line.
    """

    label: str
    order: tuple[int, int]

    @property
    def is_override(self) -> bool:
        """Whether it came from `--set`."""
        return self.order[0] == 1

    @property
    def short(self) -> str:
        """The label without the text of the override."""
        return "--set" if self.is_override else self.label


@dataclasses.dataclass
class Document:
    """Parsed YAML.

    Attributes:
        values: dicts, lists and scalars.
        origins: path of each key, item and value -> its position.
        raw: path of each unquoted scalar -> its text as typed.
    """

    values: Any
    origins: dict[KeyPath, Origin]
    raw: dict[KeyPath, str]

    def origin_near(self, path: KeyPath) -> Origin:
        """Returns the origin of `path`, or of its nearest parent that has one."""
        while path not in self.origins and path:
            path = path[:-1]
        return self.origins[path]

    def forget(self, path: KeyPath) -> None:
        """Removes the origins and raw texts at and below `path`; `values` are unchanged."""
        for known in (self.origins, self.raw):
            for other in [key for key in known if key[: len(path)] == path]:
                del known[other]


def read(path: Path) -> Document:
    """Reads and parses a YAML file whose root is a mapping.

    Raises:
        UserError: the file cannot be read, or is not UTF-8 or not YAML as described above.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size} bytes long, expected a config of at most {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected a config file") from None
    return parse(decode(data, str(path)), str(path))


def decode(data: bytes, file: str) -> str:
    """Decodes UTF-8, with or without a byte order mark.

    Raises:
        ConfigErrors: `data` is not UTF-8; it names line and column of the first invalid byte.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        _refuse(file, before, f"byte 0x{data[error.start]:02x} is not UTF-8, expected a UTF-8 text file")


def parse(text: str, file: str) -> Document:
    """Parses the text of a config file; the root must be a mapping.

    Args:
        text: YAML.
        file: name for origins and messages.

    Raises:
        ConfigErrors: one line `FILE:LINE:COLUMN: what is wrong, what was expected`.
    """
    if len(text.encode("utf-8", errors="replace")) > MAX_BYTES:
        raise UserError(f"{file}: too long, expected a config of at most {MAX_BYTES} bytes")
    control = _CONTROL.search(text)
    if control:
        what = f"control character U+{ord(control.group()):04X}, expected printable text"
        _refuse(file, text[: control.start()], what)
    document = _Reader(text, file).read()
    if not isinstance(document.values, dict):
        what = "the file is empty" if document.values is None else f"the file holds {kind(document.values)}"
        raise ConfigErrors([f"{file}:1:1: {what}, expected sections such as data, model and train"])
    return document


def parse_value(text: str, origin: Origin) -> Document:
    """Parses one value given on the command line: a scalar, or a list or mapping in brackets.

    Raises:
        ConfigErrors: as `parse`, with the label of `origin` in place of the file.
    """
    control = _CONTROL.search(text)
    if control:
        code = f"U+{ord(control.group()):04X}"
        raise ConfigErrors([f"{origin.label}: control character {code}, expected printable text"])
    document = _Reader(text, origin.label, one_line=True).read()
    document.origins = dict.fromkeys(document.origins, origin)
    return document


def kind(value: Any) -> str:
    """Returns the type of a parsed value in plain words."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")


def scalar(text: str) -> Any:
    """Returns the value of an unquoted scalar in the core schema of YAML 1.2.

    Raises:
        ValueError: an integer with more than 300 digits.

    Examples:
        >>> scalar("1e-3"), scalar("no"), scalar("010")
        (0.001, 'no', 10)
    """
    if _NULL.fullmatch(text):
        return None
    boolean = _BOOLEAN.fullmatch(text)
    if boolean:
        return boolean.group(1) is not None
    if len(text) > MAX_DIGITS and (_DECIMAL.fullmatch(text) or _BASED.fullmatch(text)):
        raise ValueError(f"number of {len(text)} digits, expected at most {MAX_DIGITS}")
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text[2:], {"o": 8, "x": 16}[text[1]])
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _refuse(file: str, before: str, what: str) -> NoReturn:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    raise ConfigErrors([f"{file}:{line}:{column}: {what}"])


class _Reader:
    """Builds one document from the events of PyYAML's parser."""

    def __init__(self, text: str, file: str, one_line: bool = False) -> None:
        self.file = file
        self.one_line = one_line
        self.document = Document(None, {(): Origin(file if one_line else f"{file}:1", (0, 1))}, {})
        self.text = text
        self.events: Iterator[Any] = iter(())

    def read(self) -> Document:
        try:
            self.events = iter(yaml.parse(self.text, Loader=yaml.SafeLoader))
            next(self.events)
            start = next(self.events)
            if isinstance(start, yaml.StreamEndEvent):
                return self.document
            self.document.values = self._value(next(self.events), (), 1)
            next(self.events)
            end = next(self.events)
            if not isinstance(end, yaml.StreamEndEvent):
                self._fail(end, "a second document starts here, expected one document per file")
        except yaml.MarkedYAMLError as error:
            self._fail_marked(error)
        except (ValueError, OverflowError):
            line = self.text[: self.text.lower().find("\\u")].count("\n")
            self._fail_at(line, 0, "an escape is not a character, expected at most \\U0010FFFF")
        return self.document

    def _value(self, event: Any, path: KeyPath, depth: int) -> Any:
        self._refuse_extras(event)
        if depth > MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} levels deep, expected 2 or 3")
        if len(self.document.origins) > MAX_VALUES:
            self._fail(event, f"more than {MAX_VALUES:,} values, expected some dozens")
        self.document.origins.setdefault(path, self._origin(event))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
                items.append(self._value(event, (*path, len(items)), depth + 1))
            return items
        return self._scalar(event, path)

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            self._refuse_extras(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(event, "a key that is a list or a mapping, expected a word")
            key = self._text(event)
            if key in values:
                what = f"key '{key}' appears twice, first in line {lines[key]}; keep one of them"
                self._fail(event, what)
            origin = self._origin(event)
            lines[key] = origin.order[1]
            key_path = (*path, key)
            self.document.origins[key_path] = origin
            values[key] = self._value(next(self.events), key_path, depth + 1)
        return values

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text = self._text(event)
        if event.style is not None:
            return text
        self.document.raw[path] = text
        try:
            return scalar(text)
        except ValueError as error:
            self._fail(event, str(error))

    def _text(self, event: Any) -> str:
        text: str = event.value
        if "\x00" in text or _SURROGATE.search(text):
            what = "an escape in the text is a NUL or half a character, expected \\UXXXXXXXX for emoji"
            self._fail(event, what)
        return text

    def _refuse_extras(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._fail(event, f"alias *{event.anchor}, expected the value itself written out")
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._fail(event, f"anchor &{event.anchor}, expected a value without anchor")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._fail(event, f"tag {tag}, expected a value without tag; put text in quotes")

    def _origin(self, event: Any) -> Origin:
        line = event.start_mark.line + 1
        return Origin(f"{self.file}:{line}", (0, line))

    def _fail_marked(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = self.text.split("\n")
        rest = lines[line][column : column + 1] if line < len(lines) else ""
        if rest == "\t":
            self._fail_at(line, column, "a tab, expected spaces")
        problem = " ".join(str(error.problem or error.context).split())
        self._fail_at(line, column, f"not valid YAML: {problem}")

    def _fail(self, event: Any, what: str) -> NoReturn:
        self._fail_at(event.start_mark.line, event.start_mark.column, what)

    def _fail_at(self, line: int, column: int, what: str) -> NoReturn:
        where = self.file if self.one_line else f"{self.file}:{line + 1}:{column + 1}"
        raise ConfigErrors([f"{where}: {what}"])
