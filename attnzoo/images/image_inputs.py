"""Images named on the command line: files, folders and glob patterns. Imports no TensorFlow."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from attnzoo.errors import UserError
from attnzoo.images.image_folders import is_skipped_file, is_skipped_folder
from attnzoo.images.image_headers import parser_of

_SUFFIXES = ".jpg .jpeg .png .gif .bmp .webp .tif .tiff .heic .heif .avif .jp2 .jxl .ico .psd .ppm .pgm .dds"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes of image files, in lower case, of whatever kind."""


def image_inputs(argument: str) -> list[str] | None:
    """Returns the paths of the images that an argument stands for.

    Args:
        argument: an image file, a folder (searched with its subfolders, in the order of the paths), or a glob
            pattern (** for any subfolders). Files that are not images by their names are skipped.

    Returns:
        The paths; None if the argument is something else, such as a file with the paths of images.

    Raises:
        UserError: no image in the folder, or no file that fits the pattern.
    """
    if os.path.isdir(argument):
        paths = list(_walk(Path(argument)))
        if not paths:
            raise UserError(
                f"{argument}: no images in this folder; expected JPEG, PNG, WebP, GIF or BMP files."
            )
        return paths
    if os.path.isfile(argument):
        return [argument] if _is_image(argument) else None
    if not glob.has_magic(argument):
        return None
    paths = [
        path
        for path in sorted(glob.glob(argument, recursive=True))
        if os.path.isfile(path) and not is_skipped_file(Path(path))
    ]
    if not paths:
        raise UserError(f"{argument}: no image fits this pattern (relative to {Path.cwd()}).")
    return paths


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_skipped_folder(Path(parent, name)))
        yield from (
            str(Path(parent, name)) for name in sorted(files) if not is_skipped_file(Path(parent, name))
        )


def _is_image(path: str) -> bool:
    """Whether a file begins like an image, or is named like one of any kind."""
    if Path(path).suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as stream:
            start = stream.read(12)
    except OSError:
        return False
    if start.startswith(b"BM") and start[6:10] != bytes(4):  # a text can begin with these letters
        return False
    return parser_of(start) is not None
