"""Notes what a command does that none has to: unpickling, running what a file holds, sockets, processes.

`install` is called in the process that is watched, before the command begins; nothing can undo it there. The
file that `ATTNZOO_WATCH` names gets a line for each thing noticed. Without that variable nothing is noted.
"""

from __future__ import annotations

import functools
import marshal
import os
import sys
from types import CodeType
from typing import Any

MARK = "hostile_canary"
"""Is part of every payload, and of the name of every file that no command may read or write."""

REPORT = "ATTNZOO_WATCH"

_ALWAYS = {
    *("pickle.find_class", "shutil.unpack_archive", "webbrowser.open", "urllib.Request", "pty.spawn"),
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen"),
    *("socket.bind", "socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"),
}
_CALLS = {
    "keras.src.saving.saving_api": ("load_model", "load_weights"),
    "keras.src.saving.saving_lib": ("load_model", "load_weights_only"),
    "keras.src.legacy.saving.legacy_h5_format": ("load_model_from_hdf5", "load_weights_from_hdf5_group"),
    "keras.src.utils.file_utils": ("get_file",),
    "tensorflow.python.saved_model.load": ("load", "load_partial"),
    "numpy": ("load",),
}
"""Module -> functions that load models, or anything at all, and that attnzoo never calls."""

_CLASSES = {"zipfile": "ZipFile", "tarfile": "TarFile", "h5py": "File"}
_WITH_MARK = {"keras.src.saving.serialization_lib": "deserialize_keras_object"}
"""Keras calls it for names such as "glorot_uniform"; what comes from a file has the mark."""


def install() -> None:
    """Installs the watch in this process, on the modules that are imported by now."""
    for module, names in _CALLS.items():
        for name in names:
            _spy(module, name, only_with_mark=False)
    for module, name in _WITH_MARK.items():
        _spy(module, name, only_with_mark=True)
    for module, name in _CLASSES.items():
        if module in sys.modules:
            made = getattr(sys.modules[module], name)
            made.__init__ = _noting(f"{module}.{name}", made.__init__, only_with_mark=False)
    sys.addaudithook(_audit)


def note(what: str, arguments: Any = ()) -> None:
    """Adds a line to the report."""
    path = os.environ.get(REPORT)
    if path is None:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{what} {arguments!r:.300}\n".encode("utf-8", "backslashreplace"))
    finally:
        os.close(descriptor)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _ALWAYS or (event in _LOOKS and _LOOKS[event](arguments)):
        note(event, arguments)


def _in_code(arguments: tuple[Any, ...]) -> bool:
    found = arguments[0]
    data = marshal.dumps(found) if isinstance(found, CodeType) else found
    return MARK.encode() in data if isinstance(data, bytes) else MARK in str(data)


def _in_name(arguments: tuple[Any, ...]) -> bool:
    return isinstance(arguments[0], str | bytes) and MARK in os.fsdecode(arguments[0])


_LOOKS = {
    **{"marshal.loads": _in_code, "marshal.load": _in_code, "compile": _in_code, "exec": _in_code},
    **{"import": _in_name, "open": _in_name, "os.listdir": _in_name, "os.rename": _in_name},
}


def _spy(module: str, name: str, only_with_mark: bool) -> None:
    """Notes calls of a function under whatever name other modules have imported it."""
    if module not in sys.modules:
        return
    function = getattr(sys.modules[module], name)
    noting = _noting(f"{module}.{name}", function, only_with_mark)
    for other in list(sys.modules.values()):
        for known, value in list(getattr(other, "__dict__", {}).items()):
            if value is function:
                setattr(other, known, noting)


def _noting(what: str, function: Any, only_with_mark: bool) -> Any:
    @functools.wraps(function)
    def noted(*arguments: Any, **options: Any) -> Any:
        given = arguments[1:] if what.rsplit(".")[-1] in _CLASSES.values() else arguments
        # Python itself looks for packages in the archives of its path.
        packages = what == "zipfile.ZipFile" and given[:1] and given[0] in sys.path
        if not packages and (not only_with_mark or MARK in repr((arguments, options))):
            note(what, given)
        return function(*arguments, **options)

    return noted
