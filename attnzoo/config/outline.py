"""What may stand at each place of a config, read from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attnzoo.config.source import KeyPath

Schema = Mapping[str, Any]


class Outline:
    """One place in a JSON Schema as pydantic writes it.

    Args:
        schema: schema of this place.
        definitions: the `$defs` that `$ref` points into.
    """

    def __init__(self, schema: Schema, definitions: Schema) -> None:
        self.schema = schema
        self.branches: list[Schema] = list(_branches(schema, definitions))
        self._definitions = definitions

    @classmethod
    def of(cls, schema: Schema) -> Outline:
        """Returns the outline of a whole JSON Schema document."""
        return cls(schema, schema.get("$defs", {}))

    @property
    def components(self) -> dict[str, Outline]:
        """The groups of options to choose from by their key `name`; empty where there is no such choice."""
        return {
            name: Outline(branch, self._definitions)
            for branch in self.branches
            for name in _component_names(branch)
        }

    @property
    def default_name(self) -> str | None:
        """Name of the component that stands here if nothing is given."""
        default = self.schema.get("default")
        return default.get("name") if isinstance(default, Mapping) else None

    def keys(self, value: Any) -> list[str]:
        """Returns the keys that a mapping may have here; of the component that `value` names, if it does."""
        return [key for branch in self._branches_for(value) for key in branch.get("properties", {})]

    def new_name(self, key: str, value: Any) -> str | None:
        """Returns the key of the option that was called `key` before; None if there is none."""
        for branch in self._branches_for(value):
            for name, schema in branch.get("properties", {}).items():
                if key in schema.get("renamed_from", ()):
                    return name
        return None

    def child(self, key: str | int, value: Any) -> Outline | None:
        """Returns what may stand under `key` of `value`, or None where nothing is known of it."""
        for branch in self._branches_for(value):
            if isinstance(key, int):
                prefix = branch.get("prefixItems", [])
                schema = prefix[key] if key < len(prefix) else branch.get("items")
            else:
                schema = branch.get("properties", {}).get(key, branch.get("additionalProperties"))
            if isinstance(schema, Mapping):
                return Outline(schema, self._definitions)
        return None

    def find(self, path: KeyPath, value: Any) -> Outline | None:
        """Returns what may stand at `path` below `value`, or None where nothing is known of it."""
        outline: Outline | None = self
        for key in path:
            if outline is None:
                return None
            outline = outline.child(key, value)
            value = step(value, key)
        return outline

    def takes_text(self, text: str) -> bool:
        """Whether `text` may stand here as text."""
        for branch in self.branches:
            if text == branch.get("const") or text in branch.get("enum", []):
                return True
            if branch.get("type") == "string" and not {"const", "enum"} & branch.keys():
                return True
        return False

    def choices(self) -> list[Any]:
        """Returns the fixed values that may stand here."""
        found: list[Any] = []
        for branch in self.branches:
            found.extend([branch["const"]] if "const" in branch else branch.get("enum", []))
        return found

    def expected(self) -> str:
        """Returns in plain words what may stand here, such as "a whole number of at least 1"."""
        components = list(self.components)
        words: list[str] = []
        if len(components) == 1:
            words.append(f"a mapping with name: {components[0]}")
        elif components:
            words.append(f"one of {', '.join(components)}, or a mapping with such a name")
        choices = [repr(choice) for choice in self.choices() if choice not in components]
        if choices:
            words.append("one of " * (len(choices) > 1) + ", ".join(choices))
        for branch in self.branches:
            if not {"const", "enum"} & branch.keys() and not _component_names(branch):
                words.append(self._expected_of(branch))
        return " or ".join(dict.fromkeys(word for word in words if word))

    def _expected_of(self, branch: Schema) -> str:
        kind = branch.get("type")
        if kind in ("integer", "number"):
            return ("a whole number" if kind == "integer" else "a number") + _bounds(branch)
        if kind == "array":
            each = self.child(0, []) if "items" in branch else None
            length = _length(branch, "Items")
            return (
                "a list"
                + (f"{length} {_plural('item', length)}" if length else "")
                + (f", each {each.expected()}" if each else "")
            )
        if kind == "string":
            length = _length(branch, "Length")
            pattern = f" like {branch['pattern']}" if "pattern" in branch else ""
            return "text" + (f"{length} {_plural('character', length)}" if length else "") + pattern
        names = {"boolean": "true or false", "null": "null"}
        return names.get(str(kind), "a mapping" if kind == "object" else "")

    def _branches_for(self, value: Any) -> list[Schema]:
        components = self.components
        if not components or not isinstance(value, Mapping):
            return self.branches
        name = value.get("name")
        if isinstance(name, str) and name in components:
            return components[name].branches
        return next(iter(components.values())).branches if len(components) == 1 else []


def step(value: Any, key: str | int) -> Any:
    """Returns what stands under `key` of a parsed value, or None where there is nothing."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _branches(schema: Schema, definitions: Schema) -> Iterable[Schema]:
    if "$ref" in schema:
        yield from _branches(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
        return
    alternatives = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])]
    if not alternatives:
        yield schema
    for alternative in alternatives:
        yield from _branches(alternative, definitions)


def _bounds(branch: Schema) -> str:
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "multipleOf": "a multiple of",
    }
    parts = [f"{word} {_plain(branch[key])}" for key, word in words.items() if key in branch]
    return " " + " and ".join(parts) if parts else ""


def _component_names(branch: Schema) -> list[str]:
    name = branch.get("properties", {}).get("name", {})
    return [name["const"]] if "const" in name else list(name.get("enum", []))


def _length(branch: Schema, of: str) -> str:
    least, most = branch.get(f"min{of}"), branch.get(f"max{of}")
    if least is not None and least == most:
        return f" of {least}"
    if least is None and most is None:
        return ""
    if most is None:
        return f" of at least {least}"
    return f" of at most {most}" if least is None else f" of {least} to {most}"


def _plural(word: str, length: str) -> str:
    return word if length.endswith(" 1") else f"{word}s"


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(number)
