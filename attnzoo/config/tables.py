"""Options of tables: how they are written, and the columns of features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from attnzoo.config.base import EffectIf, Problem
from attnzoo.config.sections import FileOptions
from attnzoo.suggest import did_you_mean

Columns: TypeAlias = str | tuple[str, ...]
"""The column of a feature, or one for each of its classes."""


def _known_delimiter(character: str) -> str:
    if character in '"\r\n\0\ufeff':
        raise ValueError(f"expected a character other than quotes and line ends, received {character!r}")
    return character


def _reads_tables(own: Any) -> bool:
    return not all(file.removesuffix(".gz").lower().endswith(".jsonl") for _, file in own.files())


_OF_TABLES = EffectIf("a file is csv or tsv", _reads_tables)


class TableOptions(FileOptions):
    """Options of data that is read from tables."""

    delimiter: Annotated[
        Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_known_delimiter)] | None, _OF_TABLES
    ] = Field(
        None,
        description="Character between two fields of a csv or tsv file. Default: comma or tab by the suffix, "
        "or another of , ; tab | if the header has that.",
    )
    quoting: Annotated[Literal["minimal", "none"], _OF_TABLES] = Field(
        "minimal",
        description="minimal: quotation marks in a csv or tsv file may enclose fields. none: quotation marks "
        "are part of the text.",
    )
    columns: Annotated[Annotated[list[str], Field(min_length=1)] | None, _OF_TABLES] = Field(
        None, description="Column names of csv or tsv files without a header, in order."
    )

    def named_columns(self, features: Mapping[str, Any]) -> dict[str, Columns]:
        """Returns feature -> its columns: the value of the option named like the feature, if given."""
        values = self.model_dump(include=set(features))
        given = {name: values[name] for name in features if values.get(name) is not None}
        return {name: tuple(one) if isinstance(one, list) else one for name, one in given.items()}

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields columns that two features share, that are too many, or that `columns` does not name."""
        yield from super().problems(features)
        named = self.named_columns(features)
        yield from repeated_columns(named)
        for option, column in named.items():
            if not isinstance(column, str) and not features[option].takes_columns:
                what = f"a list of columns is for multi_label models; expected one column of {option}s"
                yield (option,), what
        if self.columns is None or not _reads_tables(self):
            return
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            yield ("columns",), f"{', '.join(map(repr, twice))} more than once; give each column its own name"
        needed = [(option, column) for option, names in named.items() for column in columns_in(names)]
        if len(set(self.columns)) < len(needed):
            keys = " and ".join(f"data.{option}" for option in named)
            yield ("columns",), f"fewer names than are needed; expected those of {keys}"
            return
        for option, column in needed:
            if column not in self.columns:
                near = did_you_mean(column, self.columns)
                what = f"no column {column!r}{near}; data.columns has: {', '.join(self.columns)}"
                yield (option,), what


def columns_in(names: Columns) -> tuple[str, ...]:
    """Returns the columns of a feature."""
    return (names,) if isinstance(names, str) else names


def repeated_columns(columns: Mapping[str, Columns]) -> Iterator[Problem]:
    """Yields the options that name the column of another one, or one column twice, of option -> columns."""
    first: dict[str, str] = {}
    for option, names in columns.items():
        for column in columns_in(names):
            other = first.get(column)
            first.setdefault(column, option)
            if other == option:
                yield (option,), f"names the column {column!r} twice; name each once"
            elif other is not None:
                what = f"data.{other} and data.{option} are both {column!r}; name two different columns"
                yield (option,), what
