"""The GPUs that a process sees, and why it sees none on a machine that has some."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from pathlib import Path

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
"""Environment variable with the GPUs that CUDA shows to a process, by number or identifier."""
NO_DEVICES = "-1"
LIBRARIES = (
    "libcudart.so.12",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
    "libcudnn.so.9",
)
"""The libraries without which TensorFlow 2.21 registers no GPU: those of CUDA 12 and cuDNN 9."""
DRIVER = "libcuda.so.1"
FAILED_CALL = "failed call to cuInit: "
"""What TensorFlow logs before the reason why the driver does not start."""
_ROOT = Path("/")
_DEVICE_FILES = ("dev/nvidiactl", "dev/nvidia0")
_WINDOWS_DEVICE_FILE = "dev/dxg"  # WSL2 has it for the GPUs of all vendors


def visible_devices(given: str | None, count: int) -> str:
    """Returns the value of `CUDA_VISIBLE_DEVICES` that shows at most `count` of the GPUs visible so far.

    Args:
        given: the present value; None if it is not set.
        count: number of GPUs, 0 for none.

    Examples:
        >>> visible_devices("2,5,7", 2)
        '2,5'
        >>> visible_devices(None, 2)
        '0,1'
        >>> visible_devices(None, 0)
        '-1'
    """
    names = [str(number) for number in range(count)] if given is None else given.split(",")[:count]
    return ",".join(names) or NO_DEVICES


def shows_none(given: str | None) -> bool:
    """Whether a value of `CUDA_VISIBLE_DEVICES` hides all GPUs: CUDA stops at the first invalid one."""
    return given is not None and given.split(",")[0].strip() in ("", NO_DEVICES, "none", "NoDevFiles")


def problem(
    has_cuda: bool,
    log: Iterable[str],
    folders: Iterable[Path] = (),
    root: Path = _ROOT,
    load: Callable[[str], object] = ctypes.CDLL,
) -> str | None:
    """Returns why TensorFlow sees no GPU, and what to do; None on a machine without an NVIDIA GPU.

    Args:
        has_cuda: whether this TensorFlow is built with CUDA.
        log: lines that TensorFlow logged while it listed its devices.
        folders: folders in which TensorFlow looks for libraries before the system does.
        root: folder with `dev`.
        load: loads a library by its name or path; raises `OSError` if it cannot.
    """

    def loads(name: str, among: Iterable[Path] = ()) -> bool:
        for path in [*(str(folder / name) for folder in among), name]:
            try:
                load(path)
                return True
            except OSError:
                continue
        return False

    is_nvidia = any((root / name).exists() for name in _DEVICE_FILES)
    if not is_nvidia and not ((root / _WINDOWS_DEVICE_FILE).exists() and loads(DRIVER)):
        return None
    if not has_cuda:
        return "this TensorFlow is built without CUDA; install one that has it: pip install '.[cuda]'"
    if not loads(DRIVER):
        return (
            f"the driver's {DRIVER} is missing; install NVIDIA's driver, or start the container with access "
            "to the GPU (docker run --gpus all)"
        )
    among = list(folders)
    missing = [name for name in LIBRARIES if not loads(name, among)]
    if missing:
        return f"TensorFlow cannot load {', '.join(missing)}; install them: pip install '.[cuda]'"
    reasons = [line.partition(FAILED_CALL)[2].strip() for line in log if FAILED_CALL in line]
    because = f" ({reasons[0]})" if reasons else ""
    return f"the driver shows no GPU to TensorFlow{because}; see whether nvidia-smi lists it"
