"""Writes plain values as YAML that `source.parse` parses to the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attnzoo.config.source import scalar

Comment = Callable[[tuple[str, ...]], str]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def to_text(values: Mapping[str, Any], comment: Comment | None = None, path: tuple[str, ...] = ()) -> str:
    """Returns `values` as YAML, with one key per line and lists in brackets.

    Args:
        values: mappings with text keys, lists, text, finite numbers, booleans and None.
        comment: path of a leaf -> comment after it.
        path: path of `values` in the document; each level is indented by two spaces.

    Examples:
        >>> print(to_text({"train": {"epochs": 3, "xla": "auto"}}), end="")
        train:
          epochs: 3
          xla: auto
    """
    lines = []
    for key, value in values.items():
        start = "  " * len(path) + _text(key) + ":"
        here = (*path, key)
        if isinstance(value, Mapping) and value:
            lines.append(f"{start}\n{to_text(value, comment, here)}")
        else:
            note = f"  # {' '.join(comment(here).split())}" if comment else ""
            lines.append(f"{start} {_flow(value)}{note}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value, allow_nan=False)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and isinstance(scalar(text), str):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08X}" for letter in quoted)
