"""Random configs of every model, task, data set and mechanism, drawn from their schemas, of small sizes."""

import copy
import random
from functools import lru_cache, reduce

from attnzoo import catalog
from attnzoo.config import checking
from attnzoo.config.outline import Outline, step

SIZES = (1, 2, 3, 4, 6, 8, 12, 16)
LARGE = 64
"""A default above it is never left as it is: it would take time and memory."""
FEW = 2
"""An option whose default is at most that, such as the number of layers, stays near it."""
NUMBERS = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
GIVEN = 0.3
"""How likely an option is given."""
SECTIONS = ("data", "model", "train", "eval")


@lru_cache
def texts() -> list[str]:
    """What is drawn where any text may stand: files, and the names of some metrics."""
    tasks = [catalog.load_class("tasks", name) for name in catalog.names("tasks")]
    return ["made.csv", "more.csv", "other.csv", *sorted({task.monitor for task in tasks})]


@lru_cache
def data_sets(model: str) -> list[str]:
    """The data sets that fit a model."""
    task = catalog.load_class("tasks", catalog.load("models", model).TASK)
    return [name for name in catalog.names("datasets") if checking.fits(catalog.load("datasets", name), task)]


@lru_cache
def schema_of(model: str, data: str) -> dict:
    """The JSON Schema of configs of a model and a data set."""
    task = catalog.load_class("tasks", catalog.load("models", model).TASK)
    configs = [catalog.load(kind, name).Config for kind, name in (("datasets", data), ("models", model))]
    return checking.root_class(*configs, task.TrainOptions, task.EvalOptions).model_json_schema()


class Drawing:
    """A config, and what can stand in the place of each of its values.

    Args:
        seed: of the draws.

    Attributes:
        values: the config.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        model = self.random.choice(catalog.names("models"))
        data = self.random.choice(data_sets(model))
        self.schema = schema_of(model, data)
        self.outline = Outline.of(self.schema)
        self.values = {}
        for section in SECTIONS:
            self.values[section] = self._draw(self.schema["properties"][section])
        self.values["data"]["name"], self.values["model"]["name"] = data, model

    def alternatives(self, path: list[str], count: int):
        """Yields configs that differ from this one in the value at `path` alone; the default comes first."""
        path = self._typed(path)
        if path[-1] == "name" and len(path) > 2:  # options belong to a name
            path = path[:-1]
        while not self._is_there(path[:-1]):
            path = path[:-1]
        around = self.outline.find(path[:-1], self.values)
        place = around.child(path[-1], reduce(_step, path[:-1], self.values))
        for number in range(count):
            values = copy.deepcopy(self.values)
            parent = reduce(_step, path[:-1], values)
            if number == 0 and isinstance(parent, dict):
                parent.pop(path[-1], None)
            elif number == 0:
                del parent[path[-1]]
            else:
                parent[path[-1]] = self._draw(place.schema)
            yield values

    def _typed(self, path: list[str]) -> list:
        """Returns the path with numbers for the items of lists."""
        typed, value = [], self.values
        for key in path:
            typed.append(int(key) if isinstance(value, list) else key)
            value = step(value, typed[-1])
        return typed

    def _is_there(self, path) -> bool:
        try:
            return isinstance(reduce(_step, path, self.values), dict | list)
        except (KeyError, IndexError, TypeError):
            return False

    def _draw(self, schema: dict):
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self._draw(self.random.choice(branches))
        if "$ref" in schema:
            return self._draw(self.schema["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        return getattr(self, f"_draw_{schema['type']}")(schema)

    def _draw_null(self, schema: dict) -> None:
        return None

    def _draw_boolean(self, schema: dict) -> bool:
        return self.random.random() < 0.5

    def _draw_string(self, schema: dict) -> str:
        return self.random.choice(texts())[: schema.get("maxLength")]

    def _draw_integer(self, schema: dict) -> int:
        least, most = schema.get("minimum", 0), schema.get("maximum", 2**31)
        default = schema.get("default")
        if default is not None and default <= FEW:  # how many of a thing there are, and not how wide it is
            most = min(most, FEW + 1)
        sizes = [size for size in (least, *SIZES) if least <= size <= most]
        return self.random.choice(sizes)

    def _draw_number(self, schema: dict) -> float:
        def is_allowed(number: float) -> bool:
            return (
                schema.get("minimum", number) <= number <= schema.get("maximum", number)
                and schema.get("exclusiveMinimum", number - 1) < number
                and number < schema.get("exclusiveMaximum", number + 1)
            )

        return self.random.choice([number for number in NUMBERS if is_allowed(number)])

    def _draw_array(self, schema: dict) -> list:
        least = schema.get("minItems", 0)
        count = self.random.randint(least, min(schema.get("maxItems", least + 2), least + 2))
        return [self._draw(schema["items"]) for _ in range(count)]

    def _draw_object(self, schema: dict) -> dict:
        if "properties" not in schema:
            count = self.random.randint(0, 1)
            return {
                self.random.choice("*1"): self._draw(schema["additionalProperties"]) for _ in range(count)
            }
        required = schema.get("required", [])
        return {
            key: self._draw(option)
            for key, option in schema["properties"].items()
            if key in required
            or "const" in option
            or _is_large(option.get("default"))
            or self.random.random() < GIVEN
        }


def _step(value, key):
    return value[key]


def _is_large(default) -> bool:
    return isinstance(default, int) and default > LARGE
