"""How tests compare arrays."""

import numpy as np


def close(found, expected, tolerance=1e-5, absolute=None):
    """Asserts that two arrays of any precision agree, each element within `tolerance`, relative and absolute.

    Args:
        found: a tensor, an array or nested lists.
        expected: likewise.
        tolerance: relative and, with `absolute` left out, absolute.
        absolute: absolute tolerance.
    """
    found, expected = (np.asarray(values, np.float64) for values in (found, expected))
    absolute = tolerance if absolute is None else absolute
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=absolute)
