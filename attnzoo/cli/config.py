"""`attnzoo config`: checks, shows, copies and explains configs without training."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from attnzoo import catalog
from attnzoo.cli.common import ConfigFile, Overrides, note_lines, print_table, refuse
from attnzoo.errors import DataWarning
from attnzoo.files import disk_errors, write_text

app = typer.Typer(no_args_is_help=True, help="Check, show, copy and explain configs without training.")


@app.command("check", epilog="Example:  attnzoo config check my.yaml --set train.epochs=3")
def check(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check a config and its data files: report all errors, and options without effect."""
    from attnzoo.config import checkup, resolve

    warnings.simplefilter("always", DataWarning)
    resolved = resolve(config, overrides or [])
    note_lines(checkup.notes(resolved))
    checkup.require_installed(resolved)
    note_lines(checkup.check_files(resolved))
    print(f"{config}: correct")


@app.command("show", epilog="Example:  attnzoo config show my.yaml > complete.yaml")
def show(config: ConfigFile, overrides: Overrides = None) -> None:
    """Print the complete config, with the origin of each value."""
    from attnzoo.config import resolve

    print(resolve(config, overrides or []).shown(config).to_yaml(with_origins=True), end="")


@app.command("schema", epilog="Example:  attnzoo config schema > config.schema.json")
def schema() -> None:
    """Print the JSON Schema of configs, for completion and validation in editors."""
    from attnzoo.config import schema as json_schema

    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))


@app.command("copy", epilog="Example:  attnzoo config copy text_languages mine.yaml")
def copy(
    name: Annotated[
        str, typer.Argument(help="Name of a recipe (see attnzoo list configs).", show_default=False)
    ],
    to: Annotated[
        Path | None,
        typer.Argument(help="File or folder to write. Default: ./NAME.yaml.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Copy a recipe of attnzoo to a file that you can modify."""
    source = catalog.shipped_config(name)
    target = to or Path()
    if target.is_dir():
        target /= source.name
    if target.exists() and not force:
        refuse(f"{target}: already exists; choose another name, or add --force to overwrite it")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, source.read_text(encoding="utf-8"))
    print(target)
    print(f"edit it, then:    attnzoo config check {target}", file=sys.stderr)
    print(f"                  attnzoo train {target}", file=sys.stderr)


@app.command("explain", epilog="Example:  attnzoo config explain train.schedule")
def explain(
    key: Annotated[
        str | None,
        typer.Argument(
            help="Key such as train.schedule, section such as train, or name such as multi_head. "
            "Default: all keys, as Markdown.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Explain a key: its purpose, valid values, default, and the models or data that have it."""
    from attnzoo.config import explaining

    if key is None:
        print(explaining.page(), end="")
        return
    for part in explaining.explain(key):
        if isinstance(part, str):
            print(part)
        else:
            print_table(["key", "for", "default", "description"], part)
