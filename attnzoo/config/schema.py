"""JSON Schema of config files, for completion and validation in editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from attnzoo import catalog
from attnzoo.config.checking import NAMED_SECTIONS, root_class


def schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of configs with any data set and any model."""
    classes: dict[str, list[Any]] = {
        section: [catalog.load(kind, name).Config for name in catalog.names(kind)]
        for section, kind in NAMED_SECTIONS.items()
    }
    tasks = [catalog.load_class("tasks", name) for name in catalog.names("tasks")]
    own = {
        "train": list(dict.fromkeys(task.TrainOptions for task in tasks)),
        "eval": list(dict.fromkeys(task.EvalOptions for task in tasks)),
    }
    root = root_class(dict[str, Any], dict[str, Any])
    every = [*classes["data"], *classes["model"], *own["train"], *own["eval"], root]
    inputs = [(config, "validation") for config in every]
    references, document = models_json_schema(inputs)  # type: ignore[arg-type]
    definitions = document["$defs"]
    run = definitions.pop(references[(root, "validation")]["$ref"].removeprefix("#/$defs/"))
    del run["properties"]["name"]["default"]
    for section, configs in classes.items():
        run["properties"][section] = {
            "description": root.model_fields[section].description,
            "oneOf": [references[(config, "validation")] for config in configs],
        }
    for section, options in own.items():
        choices = [references[(config, "validation")] for config in options]
        run["properties"][section] = {
            "description": root.model_fields[section].description,
            "anyOf": [*choices, {"type": "null"}],
        }
    for definition in definitions.values():
        _require_name(definition)
        for place in definition.get("properties", {}).values():
            _accept_bare_names(place)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **run,
        "title": "attnzoo config",
        "$defs": definitions,
    }


def _require_name(definition: dict[str, Any]) -> None:
    """Makes the constant `name` required; otherwise several alternatives could match."""
    if "const" in definition.get("properties", {}).get("name", {}):
        definition["required"] = sorted({*definition.get("required", []), "name"})


def _accept_bare_names(place: dict[str, Any]) -> None:
    """Accepts bare names of components: `attention: additive`."""
    alternatives = place.get("anyOf", [])
    for choice in [*alternatives, place]:
        if "discriminator" not in choice:
            continue
        known = sorted(choice.pop("discriminator")["mapping"])
        if not any(sorted(other.get("enum", [])) == known for other in alternatives):
            choice["anyOf"] = [{"type": "string", "enum": known}, {"oneOf": choice.pop("oneOf")}]
