"""Lists of bytes as arrays of numbers, which a file of tensors can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def pack_bytes(values: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Returns `bytes` <uint8>[total], all values one after the other, and their `sizes` <int64>[n].

    Examples:
        >>> packed = pack_bytes([b"ab", b"", b"c"])
        >>> packed["sizes"].tolist(), unpack_bytes(packed)
        ([2, 0, 1], [b'ab', b'', b'c'])
    """
    joined = bytearray(b"".join(values))
    return {
        "bytes": np.frombuffer(joined, np.uint8) if joined else np.zeros(0, np.uint8),
        "sizes": np.array([len(value) for value in values], np.int64),
    }


def unpack_bytes(arrays: Mapping[str, np.ndarray]) -> list[bytes]:
    """Returns the values that `pack_bytes` has packed.

    Raises:
        ValueError: the arrays are not of that form.
    """
    data, sizes = take(arrays, "bytes", np.uint8), take(arrays, "sizes", np.int64)
    return [part.tobytes() for part in split_rows(data, sizes)]


def take(arrays: Mapping[str, np.ndarray], name: str, dtype: type[np.generic], width: int = 0) -> np.ndarray:
    """Returns an array of packed values.

    Args:
        arrays: name -> array, as read from a file.
        name: which of them.
        dtype: its expected type.
        width: expected second axis; 0 for an array with one axis.

    Raises:
        ValueError: it is missing, or has another type or shape.
    """
    array = arrays.get(name)
    shape = (width,) if width else ()
    if array is None or array.dtype != dtype or array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        got = "none" if array is None else f"{array.dtype}{list(array.shape)}"
        raise ValueError(f"{name}: expected {np.dtype(dtype)}{['n', *shape]}, got {got}")
    return array


def split_rows(array: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Returns the consecutive parts of an array with `sizes` <int64>[n] rows.

    Raises:
        ValueError: the sizes do not add up to the rows of the array.
    """
    if sizes.min(initial=0) < 0 or sizes.max(initial=0) > len(array) or sizes.sum() != len(array):
        raise ValueError(f"sizes: expected a sum of {len(array)}, got {sizes.sum()}")
    return np.split(array, np.cumsum(sizes)[:-1]) if len(sizes) else []
