"""`attnzoo config`: checking, showing, copying and explaining configs without training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from attnzoo import catalog
from attnzoo.cli.common import ConfigFile, Overrides, print_table, refuse
from attnzoo.files import disk_errors, write_text

app = typer.Typer(no_args_is_help=True, help="Check, show, copy and explain configs without training.")


@app.command("check", epilog="Example:  attnzoo config check my.yaml --set train.epochs=3")
def check(config: ConfigFile, overrides: Overrides = None) -> None:
    """Say all that is wrong in a config."""
    from attnzoo.config import resolve

    resolve(config, overrides or [])
    print(f"{config}: correct")


@app.command("show", epilog="Example:  attnzoo config show my.yaml > complete.yaml")
def show(config: ConfigFile, overrides: Overrides = None) -> None:
    """Print the complete config, and for each value where it is from."""
    from attnzoo.config import resolve

    print(resolve(config, overrides or []).to_yaml(with_origins=True), end="")


@app.command("schema", epilog="Example:  attnzoo config schema > config.schema.json")
def schema() -> None:
    """Print the JSON Schema of configs, for editors that complete and check."""
    from attnzoo.config import schema as json_schema

    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))


@app.command("copy", epilog="Example:  attnzoo config copy text_languages mine.yaml")
def copy(
    name: Annotated[
        str, typer.Argument(help="Name of a recipe: see attnzoo list configs.", show_default=False)
    ],
    to: Annotated[
        Path | None,
        typer.Argument(help="File or folder to write. Default: NAME.yaml here.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a recipe that comes with attnzoo here, to change it."""
    source = catalog.shipped_config(name)
    target = to or Path()
    if target.is_dir():
        target /= source.name
    if target.exists() and not force:
        refuse(f"{target}: there is such a file already; give another name, or --force to replace it")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, source.read_text(encoding="utf-8"))
    print(target)
    print(f"change it, then:  attnzoo config check {target}", file=sys.stderr)
    print(f"                  attnzoo train {target}", file=sys.stderr)


@app.command("explain", epilog="Example:  attnzoo config explain train.schedule")
def explain(
    key: Annotated[
        str | None,
        typer.Argument(
            help="Key such as train.schedule, section such as train, or name such as multi_head. "
            "Default: all of them, as Markdown.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what a key is for, what may stand there, its default, and for which models or data it is."""
    from attnzoo.config import explaining

    if key is None:
        print(explaining.page(), end="")
        return
    for part in explaining.explain(key):
        if isinstance(part, str):
            print(part)
        else:
            print_table(["key", "for", "default", "what it is"], part)
