"""Base class and types of all groups of options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError

from attnzoo.config.source import KeyPath

if TYPE_CHECKING:
    from typing_extensions import Self

Problem: TypeAlias = tuple[KeyPath, str]
"""The path of a key from the options that say it, and what is wrong with its value and what to do."""

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base class of all groups of options: strict types, no unknown keys, immutable values."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def replaced(self, **values: Any) -> Self:
        """Returns the options with other values, which are checked.

        Raises:
            ValueError: a value is invalid.
        """
        try:
            return type(self).model_validate_json(json.dumps({**self.model_dump(mode="json"), **values}))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


@dataclasses.dataclass(frozen=True)
class EffectIf:
    """Says when an option has an effect: it stands in `Annotated[...]` beside the option's type.

    Attributes:
        condition: in words: "schedule is plateau". The JSON Schema has it as `x-effect-if`.
        holds: whether it is so, of the options that the option is one of.
    """

    condition: str
    holds: Callable[[Any], bool]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core_schema), "x-effect-if": self.condition}


def within(path: KeyPath, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yields problems of options that stand at `path` of others."""
    for key, what in problems:
        yield (*path, *key), what


def named(value: Any) -> Any:
    """Expands a bare name to options with that name.

    Examples:
        >>> named("additive")
        {'name': 'additive'}
    """
    return {"name": value} if isinstance(value, str) else value


def renamed_from(*names: str) -> dict[str, Any]:
    """Returns the `json_schema_extra` of the `Field` of an option with former names."""
    return {"renamed_from": list(names)}
