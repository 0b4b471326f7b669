"""What is in a folder, to compare it with what it was."""

import hashlib

LARGE = 1 << 30


def tree(folder, without=None):
    """Returns everything in a folder: what it is, its mode and its content (of large files, the size)."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if without is not None and (path == without or without in path.parents):
            continue
        status = path.lstat()
        content = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            large = status.st_size >= LARGE
            content = status.st_size if large else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (status.st_mode, content)
    return found
