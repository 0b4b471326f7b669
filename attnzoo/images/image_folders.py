"""Folders of image files, one per class, and what is skipped in them. Imports no TensorFlow."""

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
"""Names of files that are not images, in lower case."""
_OTHER_SUFFIXES = """
    .txt .md .rst .json .jsonl .csv .tsv .xml .yaml .yml .toml .ini .cfg .log .db .sqlite .url .lnk .html .htm
    .pdf .doc .docx .xls .xlsx .ods .odt .zip .tar .gz .7z .rar .py .ipynb .sh .bat .npy .npz .mat .pkl .h5
    .md5 .sha256 .bak .xmp .aae
"""
OTHER_SUFFIXES = frozenset(_OTHER_SUFFIXES.split())
"""Suffixes of files that are clearly not images."""
SPLITS = {
    "train": frozenset({"train", "training", "train_set", "trainset"}),
    "validation": frozenset({"val", "valid", "validation", "dev", "val_set"}),
    "test": frozenset({"test", "testing", "test_set", "testset"}),
}
"""Split -> names of folders that hold one."""


class ClassFolders:
    """The class folders of a split, and what was skipped in it.

    Classes are named in Unicode's composed form, so that folders from macOS and from elsewhere are the same;
    several folders of one name are one class. Links are followed, but not back to a folder that contains
    them or that the class has already.

    Args:
        root: the folder of the split.

    Raises:
        UserError: it cannot be read, or has no class folder.
        BadRecord: a class folder whose name is not text.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.skipped: Counter[str] = Counter()
        self.folders: dict[str, list[Path]] = {}
        for path in _entries(root):
            if not path.is_dir():
                if path.is_symlink() and not path.exists():
                    raise UserError(f"{path}: a link to something that does not exist; fix or remove it.")
                self.skipped[kind_of_skipped_file(path) or "beside the class folders"] += 1
            elif kind := kind_of_skipped_folder(path):
                self.skipped[kind] += 1
            else:
                check_name(path)
                self.folders.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
        if not self.folders:
            raise UserError(f"{root}: no subfolders; expected one subfolder per class with its images.")
        self.names = tuple(sorted(self.folders))

    def files(self, name: str) -> list[Path]:
        """Returns the files of a class in the order of their paths, without those that are skipped."""
        seen: set[Path] = {*Path(self.root).resolve().parents, Path(self.root).resolve()}
        return sorted(path for folder in self.folders[name] for path in self._walk(folder, seen))

    def _walk(self, folder: Path, seen: set[Path]) -> Iterator[Path]:
        resolved = folder.resolve()
        if resolved in seen:
            self.skipped["a link to a folder that was read or that contains it"] += 1
            return
        seen.add(resolved)
        for path in _entries(str(folder)):
            if path.is_dir():
                if kind := kind_of_skipped_folder(path):
                    self.skipped[kind] += 1
                else:
                    yield from self._walk(path, seen)
            elif kind := kind_of_skipped_file(path):
                self.skipped[kind] += 1
            else:
                yield path

    def note(self) -> None:
        """Issues a `DataNote` if anything was skipped; to call after `files`."""
        note_skipped(self.root, self.skipped)


def note_skipped(root: str, skipped: Counter[str]) -> None:
    """Issues a `DataNote` of the files and folders that were skipped, by kind, if there are any."""
    if skipped:
        kinds = join_names(f"{count:,} {kind}" for kind, count in skipped.most_common())
        warnings.warn(
            f"{root}: skipped, as their names or locations are not those of images: {kinds}.",
            DataNote,
            stacklevel=2,
        )


def _entries(root: str) -> list[Path]:
    if not Path(root).is_dir():
        is_file = Path(root).exists()
        raise UserError(
            f"{root}: {'a file' if is_file else 'not found'}; expected a folder with one subfolder per class "
            f"(relative to {Path.cwd()})"
            f"{'; data.name: image_table reads a table that lists images' * is_file}."
        )
    try:
        return sorted(Path(root).iterdir())
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}); a folder is expected.") from None


def kind_of_skipped_folder(path: Path) -> str | None:
    """Returns what messages call a folder that is hidden or of the system, else None."""
    hidden = path.name.startswith(".") or path.name.lower() in SYSTEM_FOLDERS
    return f"{path.name}/" if hidden else None


def kind_of_skipped_file(path: Path) -> str | None:
    """Returns what messages call a file that is clearly not an image by its name, else None."""
    if path.name.startswith("._"):
        return "._*"
    if path.name.endswith(":Zone.Identifier"):  # Windows adds these to downloaded files
        return "*:Zone.Identifier"
    if path.name.startswith(".") or path.name.lower().partition(":")[0] in SYSTEM_FILES:
        return path.name
    suffix = path.suffix.lower()
    return f"*{suffix}" if suffix in OTHER_SUFFIXES else None


def check_name(path: Path) -> None:
    """Refuses names that cannot be written as text.

    Raises:
        BadRecord: the name is not UTF-8 or holds a line break or the like.
    """
    if not is_encodable(path.name) or not path.name.isprintable():
        what = "the name is not printable UTF-8 text; rename it."
        raise BadRecord(
            str(path).encode("unicode_escape").decode("ascii"), "with a name that is not text", what
        )


def require_classes(classes: ClassFolders) -> None:
    """Checks that the class folders of train are classes.

    Issues a `DataWarning` where some are named like splits.

    Raises:
        UserError: all are named like splits, or there is only one.
    """
    splits = {
        split: folder
        for split, known in SPLITS.items()
        for name in classes.names
        if name.lower() in known
        for folder in classes.folders[name]
    }
    advice = ", ".join(f"data.{split}: {folder}" for split, folder in splits.items())
    names = join_names(classes.names)
    if len(splits) == len(classes.names) and "train" in splits:
        raise UserError(f"{classes.root}: its subfolders are splits, not classes ({names}); set {advice}.")
    if len(classes.names) < 2:
        raise UserError(
            f"{classes.root}: only one class folder ({classes.names[0]!r}); a classifier needs at least 2, "
            "one subfolder per class."
        )
    if len(splits) > 1:
        warnings.warn(
            f"{classes.root}: subfolders named like splits are used as classes ({names}); if they are "
            f"splits, set {advice}.",
            DataWarning,
            stacklevel=2,
        )


def is_split(name: str) -> bool:
    """Whether a folder is named like a split."""
    return any(name.lower() in known for known in SPLITS.values())
