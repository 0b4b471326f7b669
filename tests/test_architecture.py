"""The shape of the package: imports go down only, files stay short, nobody asks for a task's name."""

import ast
from pathlib import Path

import pytest

from attnzoo import catalog

PACKAGE = Path(__file__).parents[1] / "attnzoo"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
LAYERS = (
    {
        "",
        "addons",
        "box_geometry",
        "catalog",
        "config",
        "errors",
        "files",
        "free_memory",
        "gpus",
        "pictures",
        "registration",
        "special_tokens",
        "startup",
    }
    | {"suggest", "variables"},
    {"attention", "records"},
    {"images", "layers", "losses", "text"},
    {"features"},
    {"data", "models"},
    {"explain"},
    {"tasks"},
    {"runs"},
    {"comparison", "evaluation", "explanation", "export", "inspection", "prediction", "sweep", "training"},
    {"cli", "__main__"},
)
MAY_PRINT = {
    "cli/app.py",
    "cli/attend.py",
    "cli/compare.py",
    "cli/config.py",
    "cli/data.py",
    "cli/outputs.py",
    "cli/sweep.py",
    "training/console.py",
}
PROBES: dict[str, str] = {}
"""File -> why it may ask whether an object has an attribute."""


def level_of(part: str) -> int:
    return next(level for level, parts in enumerate(LAYERS) if part in parts)


def part_of(module: str) -> str:
    """`attnzoo.data.datasets.csv` -> `data`; the package itself -> empty."""
    return [*module.split("."), ""][1]


def imported_modules(tree: ast.Module) -> set[str]:
    """Returns the modules of the package that a file imports, inside functions and lazily too."""
    result = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            result.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            if node.module == "attnzoo":
                names = (alias.name for alias in node.names)
                result.update("attnzoo" if name.startswith("__") else f"attnzoo.{name}" for name in names)
            else:
                result.add(str(node.module))
    return {module for module in result if module.split(".")[0] == "attnzoo"}


def wrong_edges(part: str, tree: ast.Module) -> list[str]:
    """Returns the imports that go up, or from one sibling to another above the lowest layer."""
    wrong = []
    for module in sorted(imported_modules(tree)):
        other = part_of(module)
        level, other_level = level_of(part), level_of(other)
        is_entry = part == "__main__" and other == "cli"
        is_sibling = other != part and level == other_level and level > 0 and not is_entry
        if other_level > level or is_sibling:
            wrong.append(module)
    return wrong


def comparisons_with_tasks(tree: ast.Module, tasks: set[str]) -> list[int]:
    """Returns the lines where something is compared with, matched on or looked up by the name of a task."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        else:
            continue
        texts = {inner.value for part in parts for inner in ast.walk(part) if isinstance(inner, ast.Constant)}
        lines += [node.lineno] * bool(texts & tasks)
    return lines


def probes(tree: ast.Module) -> list[int]:
    """Returns the lines that ask whether an object has an attribute, or do without."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [
        call.lineno
        for call in calls
        if call.func.id == "hasattr" or (call.func.id == "getattr" and len(call.args) == 3)
    ]


def layers_asked_for(tree: ast.Module) -> list[int]:
    """Returns the lines with `isinstance` of a class that comes from the layers."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("attnzoo.layers", "keras"))
        for alias in node.names
    } | {"keras"}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and any(isinstance(inner, ast.Name) and inner.id in names for inner in ast.walk(node.args[1]))
    ]


def each_file(test):
    return pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])(
        test
    )


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@each_file
def test_imports_go_down_only(path):
    names = path.relative_to(PACKAGE).with_suffix("").parts
    part = "" if names == ("__init__",) else names[0]
    assert wrong_edges(part, parse(path)) == []


@each_file
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@each_file
def test_only_the_command_line_and_the_console_print(path):
    calls = (node for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert lines == [] or name_of(path) in MAY_PRINT


@each_file
def test_nobody_but_tasks_asks_for_the_name_of_a_task(path):
    if not name_of(path).startswith("tasks/"):
        assert comparisons_with_tasks(parse(path), set(catalog.names("tasks"))) == []


@each_file
def test_nobody_asks_whether_an_object_has_an_attribute(path):
    assert probes(parse(path)) == [] or name_of(path) in PROBES


@each_file
def test_training_does_not_ask_what_a_layer_is(path):
    if name_of(path).startswith("training/"):
        assert layers_asked_for(parse(path)) == []


@pytest.mark.parametrize(
    ("part", "code", "wrong"),
    [
        ("layers", "from attnzoo.models import text_classifier", ["attnzoo.models"]),
        ("layers", "def f():\n    import attnzoo.tasks.sums", ["attnzoo.tasks.sums"]),
        ("layers", "from attnzoo.losses import huber", ["attnzoo.losses"]),
        ("config", "from attnzoo import attention", ["attnzoo.attention"]),
        ("models", "from attnzoo.data.pipeline import batches", ["attnzoo.data.pipeline"]),
        ("features", "with lazy():\n    from attnzoo.tasks import task", ["attnzoo.tasks"]),
        ("explain", "from attnzoo.tasks import task", ["attnzoo.tasks"]),
        ("export", "from attnzoo import evaluation, runs", ["attnzoo.evaluation"]),
        ("config", "from attnzoo import catalog, __version__", []),
        ("models", "from attnzoo.models.translation import Config", []),
        ("cli", "import attnzoo.training.run, keras", []),
    ],
)
def test_the_rule_itself_finds_wrong_edges(part, code, wrong):
    assert wrong_edges(part, ast.parse(code)) == wrong


@pytest.mark.parametrize(
    "code",
    [
        "x = info.task == 'b'",
        "x = info.task in ('a', 'b')",
        "x = 'b' != name",
        "match name:\n    case 'b':\n        pass",
        "columns = {'b': 3}[task]",
    ],
)
def test_the_rule_itself_finds_names_of_tasks(code):
    assert comparisons_with_tasks(ast.parse(code), {"b"}) == [1 if "match" not in code else 2]
    assert comparisons_with_tasks(ast.parse(code), {"c"}) == []


def test_the_rule_itself_finds_probes_and_layers():
    assert probes(ast.parse("hasattr(x, 'y')\ngetattr(x, 'y', None)\ngetattr(x, 'y')")) == [1, 2]
    code = (
        "from attnzoo.layers.ngrams import N\nisinstance(x, N)\n"
        "isinstance(x, str)\nisinstance(x, keras.Layer)"
    )
    assert layers_asked_for(ast.parse(code)) == [2, 4]


def test_every_part_of_the_package_has_a_place_in_the_layers():
    parts = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES} - {"__init__"}
    assert parts <= set().union(*LAYERS)
