"""Base class and types of all groups of options."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base class of all groups of options: strict types, no unknown keys, immutable values."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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
