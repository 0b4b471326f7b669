"""What the README files say runs: their Python, configs, commands and links."""

import itertools
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
import yaml
from typer.core import TyperGroup

from attnzoo import catalog, sweep
from attnzoo.cli.app import app
from attnzoo.config import resolve, schema
from attnzoo.errors import ConfigErrors

ROOT = Path(__file__).parents[1]
FOLDERS = ("attnzoo", "configs", "scripts", "tests")
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))])
HISTORY = ROOT / "CHANGELOG.md"
"""Names commands and files of earlier versions."""
RECIPES = sorted((ROOT / "configs").glob("*.yaml"))
GENERATED = ROOT / "attnzoo/config/README.md"
"""As long as there are keys."""
MAX_LINES, MAX_README_LINES, MAX_PICTURE_BYTES, MAX_HEAD_LINES = 300, 130, 150_000, 6
SLOW = {"attnzoo/EXPORT.md": pytest.mark.slow}
"""Page -> mark of the test that runs its Python."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
KEY = re.compile(r"\b(?:data|model|train|eval)\.(?!(?:csv|tsv|jsonl|yaml|en|de)\b)([a-z_0-9]+)")
WITH_CONFIG = ("train", "sweep", "config", "data")
"""Commands whose argument is a config."""


class Command(NamedTuple):
    """A command that a page shows: its words, and whether it is a name inside a sentence."""

    words: tuple[str, ...]
    is_inline: bool


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def each_page(test):
    return pytest.mark.parametrize("page", PAGES, ids=map(name_of, PAGES))(test)


def fenced(text, language):
    """Returns the blocks between fences of a language."""
    return [body for of_block, body in FENCE.findall(text) if of_block == language]


def shown_lines(text):
    """Returns the lines of indented blocks and of comments of recipes, those that go on joined."""
    text = FENCE.sub("", text)
    joined = [block.replace("\\\n", " ") for block in INDENTED.findall(text)]
    return [line.strip() for block in joined for line in block.splitlines()]


def commands_in(text, program):
    """Returns the commands of a program that a page shows."""
    lines = [(line, False) for line in shown_lines(text)]
    lines += [(code, True) for code in CODE.findall(FENCE.sub("", text))]
    chosen = [(line, inline) for line, inline in lines if line.split(" ")[0] == program and " " in line]
    return [Command(tuple(shlex.split(line, comments=True)[1:]), inline) for line, inline in chosen]


def head_of(recipe):
    """Returns the comment that a recipe begins with, without its signs."""
    lines = recipe.read_text("utf-8").splitlines()
    number = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:number]]


def parser():
    """Returns the command line with commands that do nothing."""
    group = typer.main.get_command(app)
    waiting = [group]
    while waiting:
        command = waiting.pop()
        command.callback = lambda **_: None
        if isinstance(command, TyperGroup):
            waiting += command.commands.values()
    return group


def filled(words):
    """Returns the words with a recipe in the place of a config that has no name."""
    has_config = words[0] in WITH_CONFIG
    return ["text_languages" if has_config and word in ("CONFIG", "FILE", "NAME") else word for word in words]


def problem_with(command):
    """Returns what the command line says against a command; None if it takes it."""
    try:
        parser().main(filled(command.words), prog_name="attnzoo", standalone_mode=False)
    except Exception as error:
        if command.is_inline and type(error).__name__ == "MissingParameter":
            return None  # the name of a command
        return f"attnzoo {shlex.join(command.words)}: {error}"
    return None


def config_file(words, folder):
    """Returns the config of a command: a recipe, or one that the first page shows, in `folder`; else None."""
    arguments = [word for word in words if not word.startswith("-")]
    for word in arguments:
        if word in catalog.names("configs"):
            return catalog.config_path(word)
        if word.endswith(".yaml"):
            return ROOT / word if word.startswith("configs/") else folder / word
    return None


def after(words, option):
    """Returns the values of an option that may be given more than once."""
    return [value for name, value in itertools.pairwise(words) if name == option]


def anchors(page):
    """Returns the anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def local_links(page):
    """Returns (file, anchor) of the links of a page that stay in the repository."""
    links = LINK.findall(FENCE.sub("", page.read_text("utf-8")))
    parts = [link.partition("#") for link in links if not link.startswith("http")]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in parts]


@pytest.fixture
def reviews(empty_folder):
    """A folder with the config of the first page and a table that fits it."""
    (text,) = fenced(README.read_text("utf-8"), "yaml")
    options = yaml.safe_load(text)["data"]
    stars = {"great": 5, "dull": 1, "moving": 5, "flat": 1}
    rows = [f"a {word} film {number},{stars[word]}" for number in range(12) for word in stars]
    table = "\n".join([f"{options['text']},{options['label']}", *rows]) + "\n"
    (empty_folder / options["train"]).write_text(table, "utf-8")
    # Compiling a step takes longer than these examples do.
    (empty_folder / "reviews.yaml").write_text(
        text.replace("epochs: 5\n", "epochs: 2\n  xla: false\n"), "utf-8"
    )
    return empty_folder


@pytest.fixture
def digits(reviews, request):
    """For the page on exports: an exported run of digits, and the image of one."""
    if request.node.callspec.params["page"].name == "EXPORT.md":
        import tensorflow as tf

        from attnzoo.export import export
        from attnzoo.training.run import train

        train(resolve(catalog.config_path("image_digits"), ["train.steps=2"]), Path("runs/image_digits"))
        export(Path("runs/image_digits"))
        Path("digit.png").write_bytes(tf.io.encode_png(tf.zeros([8, 8, 1], tf.uint8)).numpy())


def test_the_first_page_is_short_and_begins_with_what_everybody_runs():
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_README_LINES
    assert [line.split("  ")[0] for line in shown_lines(text)][:2] == ["make demo", "make test"]


def test_the_mistake_that_the_first_page_shows_is_reported_like_that(reviews):
    text = README.read_text("utf-8")
    (shown,) = [line for line in shown_lines(text) if line.startswith("attnzoo: error: ")]
    (config,) = fenced(text, "yaml")
    Path("reviews.yaml").write_text(config.replace("learning_rate", "leraning_rate"), "utf-8")
    with pytest.raises(ConfigErrors) as caught:
        resolve(Path("reviews.yaml"))
    assert [f"attnzoo: error: {line}" for line in caught.value.lines] == [shown]


@each_page
def test_pages_are_short(page):
    assert page == GENERATED or len(page.read_text("utf-8").splitlines()) <= MAX_LINES


@each_page
def test_links_lead_to_files_and_headings(page):
    wrong = [
        f"{path}#{anchor}"
        for path, anchor in local_links(page)
        if not path.exists() or (anchor and anchor not in anchors(path))
    ]
    assert wrong == []


def test_every_page_can_be_reached_from_the_first():
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.exists() and page.suffix == ".md":
            reached.add(page)
            waiting += [path for path, _ in local_links(page)]
    assert reached == set(PAGES)


def test_pictures_are_small_and_shown():
    shown = {path for page in PAGES for path, _ in local_links(page)}
    pictures = {path for name in FOLDERS for path in (ROOT / name).rglob("*.png")}
    assert pictures
    assert pictures <= shown
    assert max(path.stat().st_size for path in pictures) < MAX_PICTURE_BYTES


@each_page
def test_python_files_that_a_page_names_exist(page):
    if page == HISTORY:
        return
    names = [code for code in CODE.findall(page.read_text("utf-8")) if re.fullmatch(r"[\w/]+\.(py|md)", code)]
    folders = (page.parent, ROOT, ROOT / "attnzoo")
    assert [name for name in names if not any((folder / name).is_file() for folder in folders)] == []


@each_page
def test_keys_that_a_page_names_exist(page):
    if page == HISTORY:
        return
    known = {key for definition in schema()["$defs"].values() for key in definition.get("properties", {})}
    named = {key for code in CODE.findall(page.read_text("utf-8")) for key in KEY.findall(code)}
    assert named - known == set()


@each_page
def test_make_targets_that_a_page_names_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {words[0] for words, _ in commands_in(page.read_text("utf-8"), "make")}
    assert named <= targets


@each_page
def test_commands_of_a_page_are_understood_and_their_options_resolve(page, reviews):
    if page == HISTORY:
        return
    commands = commands_in(page.read_text("utf-8"), "attnzoo")
    assert [problem for problem in map(problem_with, commands) if problem] == []
    for words, is_inline in commands:
        path = config_file(words[1:], reviews) if words[0] in WITH_CONFIG else None
        if path and not is_inline:
            for variant in sweep.variants(after(words, "--vary")):
                resolve(path, [*after(words, "--set"), *variant.overrides])


@each_page
def test_configs_of_a_page_resolve(page, empty_folder):
    for text in fenced(page.read_text("utf-8"), "yaml"):
        (empty_folder / "shown.yaml").write_text(text, "utf-8")
        resolve(empty_folder / "shown.yaml")


def run_python(page):
    """Runs the Python of a page, block after block."""
    namespace = {}
    for number, block in enumerate(fenced(page.read_text("utf-8"), "python"), 1):
        exec(compile(block, f"{name_of(page)}, block {number}", "exec"), namespace)


WITH_PYTHON = [page for page in PAGES if fenced(page.read_text("utf-8"), "python")]


def test_pages_with_python_are_found():
    assert {"attnzoo/PYTHON.md", "attnzoo/EXPORT.md"} <= set(map(name_of, WITH_PYTHON))


@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize(
    "page", [pytest.param(page, id=name_of(page), marks=SLOW.get(name_of(page), ())) for page in WITH_PYTHON]
)
def test_the_python_of_a_page_runs(page):
    run_python(page)


@pytest.mark.parametrize("recipe", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_begins_with_what_it_is_one_command_and_what_it_reaches(recipe):
    head = head_of(recipe)
    assert len(head) <= MAX_HEAD_LINES
    assert head[0].endswith(".")  # `attnzoo list configs` shows this line alone
    (command,) = [line for line in head if line.startswith("attnzoo ")]
    words = tuple(shlex.split(command)[1:])
    assert words[:2] == ("train", recipe.stem)
    assert problem_with(Command(words, False)) is None
    resolve(recipe, after(words, "--set"))
    (result,) = [line for line in head if " on 2 cores of an " in line]
    assert re.match(r"(Test accuracy|Test AP50|BLEU|Exact match) \d+\.\d+", result)


def test_mistakes_of_a_page_are_found(tmp_path):
    page = (
        "`attnzoo list`\n\n    attnzoo list modles\n    attnzoo eval run \\\n      --splt test  # a comment\n"
    )
    page += "    make none\n"
    problems = [problem_with(command) or "" for command in commands_in(page, "attnzoo")]
    assert [bool(problem) for problem in problems] == [True, True, False]
    assert "modles" in problems[0]
    assert "--splt" in problems[1]
    assert commands_in(page, "make") == [Command(("none",), False)]
    (tmp_path / "page.md").write_text("# One, two\n[x](none.md) [y](page.md#one-two)\n", "utf-8")
    assert [path.exists() for path, _ in local_links(tmp_path / "page.md")] == [False, True]
    assert anchors(tmp_path / "page.md") == {"one-two"}
