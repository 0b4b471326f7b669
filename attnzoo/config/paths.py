"""Files that a config names: one, all that match a pattern, or a list of both."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

from attnzoo.errors import UserError

FilePaths: TypeAlias = str | Annotated[list[str], Field(min_length=1)]
"""A file, a pattern such as `part*.csv`, or a list of these."""

MAX_NAMED = 3
"""Messages about a split name its files if there are no more than these."""

_WILDCARD = re.compile(r"[*?[]")


def listed(paths: FilePaths | None) -> list[str]:
    """Returns what a config names as a list, patterns as they are."""
    return [paths] if isinstance(paths, str) else list(paths or ())


def is_pattern(path: str) -> bool:
    """Whether a path stands for all files that match it; a file with this very name comes first."""
    return _WILDCARD.search(path) is not None and not os.path.lexists(path)


def matching(path: str) -> list[str]:
    """Returns the files that match a pattern, sorted by name; the path itself if it is none or none match."""
    if not is_pattern(path):
        return [path]
    return sorted(file for file in glob.glob(path, recursive=True) if not os.path.isdir(file)) or [path]


def join(folder: str, path: str) -> str:
    """Returns a file or pattern in a folder, whose own name is no pattern.

    Examples:
        >>> join("runs[1]", "part*.csv"), join("runs[1]", "a.csv")
        ('runs[[]1]/part*.csv', 'runs[1]/a.csv')
    """
    joined = os.path.join(folder, path)
    has_wildcard = _WILDCARD.search(path) is not None and not os.path.lexists(joined)
    return os.path.join(glob.escape(folder), path) if has_wildcard else joined


def expand(paths: FilePaths | None) -> list[str]:
    """Returns all files in the order of the list, those of a pattern sorted by name; each file once.

    Examples:
        >>> expand(["b.csv", "a.csv", "b.csv"])
        ['b.csv', 'a.csv']
    """
    return list(dict.fromkeys(file for path in listed(paths) for file in matching(path)))


def wildcard_text(pattern: str, file: str) -> str:
    """Returns the part of a file's path that the wildcards of the pattern stand for.

    Examples:
        >>> wildcard_text("data/part*.en", "data/part07.en")
        '07'
    """
    start = _WILDCARD.search(pattern)
    assert start is not None
    end = max(pattern.rfind(character) for character in "*?]") + 1
    return file[start.start() : len(file) - (len(pattern) - end)]


def align(patterns: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the files that belong together, one of each pattern.

    Args:
        patterns: files, or patterns whose wildcards stand for the same texts.

    Raises:
        UserError: a pattern matches no file, or a file of one has none in another.
    """
    columns = [matching(pattern) for pattern in patterns]
    are_patterns = [is_pattern(pattern) for pattern in patterns]
    for pattern, files, is_one in zip(patterns, columns, are_patterns, strict=True):
        if is_one and files == [pattern]:
            raise UserError(
                f"{pattern}: no file matches (it is relative to {os.getcwd()}); check the pattern."
            )
    if any(are_patterns) and not all(are_patterns):
        raise UserError(f"{' and '.join(patterns)}: expected files on all sides, or patterns on all.")
    if not any(are_patterns):
        return [tuple(patterns)]
    texts = [
        {wildcard_text(pattern, file): file for file in files}
        for pattern, files in zip(patterns, columns, strict=True)
    ]
    for number in range(1, len(patterns)):
        for first, second in ((0, number), (number, 0)):
            alone = sorted(texts[first].keys() - texts[second].keys())
            if alone:
                raise UserError(
                    f"{texts[first][alone[0]]}: no file of {patterns[second]} goes with it; add it, or name "
                    "the files one by one."
                )
    return [tuple(by_text[text] for by_text in texts) for text in sorted(texts[0])]


def origin_of(files: Sequence[str]) -> str:
    """Returns the name of the files of a split for messages.

    Examples:
        >>> origin_of(["a.csv", "b.csv"]), origin_of(["a.csv", "b.csv", "c.csv", "d.csv"])
        ('a.csv, b.csv', 'a.csv and 3 more files')
    """
    if len(files) <= MAX_NAMED:
        return ", ".join(files)
    return f"{files[0]} and {len(files) - 1} more files"
