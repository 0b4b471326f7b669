"""What all groups of options are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of every group of options: strict types, unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def named(value: Any) -> Any:
    """A bare name is short for options of that name: `additive` for `{name: additive}`."""
    return {"name": value} if isinstance(value, str) else value


def renamed_from(*names: str) -> dict[str, Any]:
    """Returns what `Field` takes as `json_schema_extra` of an option that had other names before."""
    return {"renamed_from": list(names)}
