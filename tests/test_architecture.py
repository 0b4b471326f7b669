"""The shape of the package: imports go down only, files stay short, only few may print."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "attnzoo"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
LAYERS = (
    {"", "config", "catalog", "info", "errors", "addons", "startup", "tensors", "pictures"},
    {"attention"},
    {"layers"},
    {"models", "data"},
    {"tasks"},
    {"run_dir"},
    {"training", "evaluation", "export", "prediction", "explain", "comparison", "sweep", "inspection"},
    {"cli", "__main__"},
)
MAY_PRINT = {
    "cli/app.py",
    "cli/answers.py",
    "cli/attend.py",
    "cli/compare.py",
    "cli/data.py",
    "training/console.py",
}


def level_of(part: str) -> int:
    return next(level for level, parts in enumerate(LAYERS) if part in parts)


def part_of(module: str) -> str:
    """`attnzoo.data.datasets.csv` -> `data`; the package itself -> empty."""
    return [*module.split("."), ""][1]


def imported_modules(tree: ast.Module) -> set[str]:
    """Returns the modules of the package that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            if node.module == "attnzoo":
                names = (alias.name for alias in node.names)
                found.update("attnzoo" if name.startswith("__") else f"attnzoo.{name}" for name in names)
            else:
                found.add(str(node.module))
    return {module for module in found if module.split(".")[0] == "attnzoo"}


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


def each_file(test):
    return pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])(
        test
    )


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
    assert lines == [] or str(path.relative_to(PACKAGE)) in MAY_PRINT


@pytest.mark.parametrize(
    ("part", "code", "wrong"),
    [
        ("layers", "from attnzoo.models import text_classifier", ["attnzoo.models"]),
        ("layers", "def f():\n    import attnzoo.tasks.scoring", ["attnzoo.tasks.scoring"]),
        ("config", "from attnzoo import attention", ["attnzoo.attention"]),
        ("models", "from attnzoo.data.image import resize", ["attnzoo.data.image"]),
        ("export", "from attnzoo import evaluation, run_dir", ["attnzoo.evaluation"]),
        ("config", "from attnzoo import catalog, __version__", []),
        ("models", "from attnzoo.models.translation import Config", []),
        ("cli", "import attnzoo.training.run, keras", []),
    ],
)
def test_the_rule_itself_finds_wrong_edges(part, code, wrong):
    assert wrong_edges(part, ast.parse(code)) == wrong


def test_every_part_of_the_package_has_a_place_in_the_layers():
    parts = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES} - {"__init__"}
    assert parts <= set().union(*LAYERS)
