"""Images named on the command line: files, folders and glob patterns. Imports no TensorFlow."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from attnzoo.errors import UserError
from attnzoo.images.image_folders import kind_of_skipped_file, kind_of_skipped_folder, note_skipped
from attnzoo.images.image_headers import parser_of

_SUFFIXES = ".jpg .jpeg .png .gif .bmp .webp .tif .tiff .heic .heif .avif .jp2 .jxl .ico .psd .ppm .pgm .dds"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes of image files, in lower case, of whatever kind."""


def image_inputs(argument: str) -> list[str] | None:
    """Returns the paths of the images that an argument stands for.

    Args:
        argument: an image file, a folder (searched with its subfolders, in the order of the paths), or a glob
            pattern (** for any subfolders). Files that are not images by their names are skipped, and a
            `DataNote` counts them.

    Returns:
        The paths; None if the argument is something else, such as a file with the paths of images.

    Raises:
        UserError: no image in the folder, or no file that fits the pattern.
    """
    skipped: Counter[str] = Counter()
    if os.path.isdir(argument):
        paths = list(_walk(Path(argument), skipped))
        note_skipped(argument, skipped)
        if not paths:
            raise UserError(
                f"{argument}: no images in this folder; expected JPEG, PNG, WebP, GIF or BMP files."
            )
        return paths
    if os.path.isfile(argument):
        return [argument] if _is_image(argument) else None
    if not glob.has_magic(argument):
        return None
    files = [path for path in sorted(glob.glob(argument, recursive=True)) if os.path.isfile(path)]
    paths = list(_images(map(Path, files), skipped))
    note_skipped(argument, skipped)
    if not paths:
        raise UserError(f"{argument}: no image fits this pattern (relative to {Path.cwd()}).")
    return paths


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        kinds = {name: kind_of_skipped_folder(Path(parent, name)) for name in folders}
        skipped.update(kind for kind in kinds.values() if kind)
        folders[:] = sorted(name for name, kind in kinds.items() if not kind)
        yield from _images((Path(parent, name) for name in sorted(files)), skipped)


def _images(files: Iterable[Path], skipped: Counter[str]) -> Iterator[str]:
    """Yields the paths of files that may be images; counts the others by kind."""
    for file in files:
        if kind := kind_of_skipped_file(file):
            skipped[kind] += 1
        else:
            yield str(file)


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
