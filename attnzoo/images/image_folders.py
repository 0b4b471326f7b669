"""Folders of image files, one a class: what is in them, and what is passed over. Imports no TensorFlow."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attnzoo.errors import DataNote, DataWarning, UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import is_encodable, join_names

SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
"""Names of folders that systems and programs make, in lower case."""
SYSTEM_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "readme", "license", "copying"}
)
"""Names of files that are no images, in lower case."""
_OTHER_SUFFIXES = """
    .txt .md .rst .json .jsonl .csv .tsv .xml .yaml .yml .toml .ini .cfg .log .db .sqlite .url .lnk .html .htm
    .pdf .doc .docx .xls .xlsx .ods .odt .zip .tar .gz .7z .rar .py .ipynb .sh .bat .npy .npz .mat .pkl .h5
    .md5 .sha256 .bak .xmp .aae
"""
OTHER_SUFFIXES = frozenset(_OTHER_SUFFIXES.split())
"""Endings of files that are plainly not images."""
SPLITS = {
    "train": frozenset({"train", "training", "train_set", "trainset"}),
    "validation": frozenset({"val", "valid", "validation", "dev", "val_set"}),
    "test": frozenset({"test", "testing", "test_set", "testset"}),
}
"""Split -> names of folders that hold one."""


class ClassFolders:
    """The class folders of a split, and what was passed over in it.

    Classes are named in Unicode's composed form, so that folders from macOS and from elsewhere are the same;
    several folders of one name are one class. Links are followed; those that lead back to a folder around
    them, or to one that the class has already, are not.

    Args:
        root: the folder of the split.

    Raises:
        UserError: it cannot be read, or has no class folder.
        BadRecord: a class folder whose name is not text.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.passed_over: Counter[str] = Counter()
        self.folders: dict[str, list[Path]] = {}
        for path in _entries(root):
            if not path.is_dir():
                if path.is_symlink() and not path.exists():
                    raise UserError(f"{path}: a link to what does not exist; fix or remove it.")
                self.passed_over[_kind_of_file(path) or "beside the class folders"] += 1
            elif kind := _kind_of_folder(path):
                self.passed_over[kind] += 1
            else:
                check_name(path)
                self.folders.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
        if not self.folders:
            raise UserError(
                f"{root}: no sub-folder in it; expected one sub-folder a class with the images inside."
            )
        self.names = tuple(sorted(self.folders))

    def files(self, name: str) -> list[Path]:
        """Returns the files of a class in the order of their paths, without those that are passed over."""
        seen: set[Path] = {*Path(self.root).resolve().parents, Path(self.root).resolve()}
        return sorted(path for folder in self.folders[name] for path in self._walk(folder, seen))

    def _walk(self, folder: Path, seen: set[Path]) -> Iterator[Path]:
        resolved = folder.resolve()
        if resolved in seen:
            self.passed_over["a link to a folder that was read or that is around it"] += 1
            return
        seen.add(resolved)
        for path in _entries(str(folder)):
            if path.is_dir():
                if kind := _kind_of_folder(path):
                    self.passed_over[kind] += 1
                else:
                    yield from self._walk(path, seen)
            elif kind := _kind_of_file(path):
                self.passed_over[kind] += 1
            else:
                yield path

    def note(self) -> None:
        """Issues a `DataNote` if anything was passed over, after the files were asked for."""
        if self.passed_over:
            kinds = join_names(f"{count:,} {kind}" for kind, count in self.passed_over.most_common())
            warnings.warn(
                f"{self.root}: passed over as no images, by their names or places: {kinds}.",
                DataNote,
                stacklevel=2,
            )


def _entries(root: str) -> list[Path]:
    if not Path(root).is_dir():
        what = "a file" if Path(root).exists() else "not found"
        raise UserError(
            f"{root}: {what}; expected a folder with one sub-folder a class (relative to {Path.cwd()})."
        )
    try:
        return sorted(Path(root).iterdir())
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}); a folder is expected.") from None


def _kind_of_folder(path: Path) -> str | None:
    """Returns what a folder is called that is passed over, else None."""
    hidden = path.name.startswith(".") or path.name.lower() in SYSTEM_FOLDERS
    return f"{path.name}/" if hidden else None


def _kind_of_file(path: Path) -> str | None:
    """Returns what a file is called that is plainly no image by its name, else None."""
    if path.name.startswith("._"):
        return "._*"
    if path.name.endswith(":Zone.Identifier"):  # of files that Windows has from the network
        return "*:Zone.Identifier"
    if path.name.startswith(".") or path.name.lower().partition(":")[0] in SYSTEM_FILES:
        return path.name
    suffix = path.suffix.lower()
    return f"*{suffix}" if suffix in OTHER_SUFFIXES else None


def check_name(path: Path) -> None:
    """Refuses names that other programs cannot write down.

    Raises:
        BadRecord: the name is not UTF-8 or holds a line break or the like.
    """
    if not is_encodable(path.name) or not path.name.isprintable():
        what = "the name is not printable UTF-8 text; rename it."
        raise BadRecord(
            str(path).encode("unicode_escape").decode("ascii"), "with a name that is not text", what
        )


def require_classes(classes: ClassFolders) -> None:
    """Looks whether the class folders of train are classes.

    Issues a `DataWarning` where some are named like splits.

    Raises:
        UserError: all are named like splits, or there is one alone.
    """
    splits = {
        split: folder
        for split, known in SPLITS.items()
        for name in classes.names
        if name.lower() in known
        for folder in classes.folders[name]
    }
    advice = ", ".join(f"data.{split}: {folder}" for split, folder in splits.items())
    found = join_names(classes.names)
    if len(splits) == len(classes.names) and "train" in splits:
        raise UserError(f"{classes.root}: its sub-folders are splits, not classes ({found}); set {advice}.")
    if len(classes.names) < 2:
        raise UserError(
            f"{classes.root}: one class folder only ({classes.names[0]!r}); a classifier needs at least 2, "
            "one sub-folder a class."
        )
    if len(splits) > 1:
        warnings.warn(
            f"{classes.root}: sub-folders named like splits are taken for classes ({found}); if they are "
            f"splits, set {advice}.",
            DataWarning,
            stacklevel=2,
        )


def is_split(name: str) -> bool:
    """Whether a folder is named like a split."""
    return any(name.lower() in known for known in SPLITS.values())
