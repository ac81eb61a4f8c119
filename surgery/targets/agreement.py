"""Hold what a backend gives against what the model gave before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-3  # of the range of an output
_ROUNDING = 3e-5  # of its largest value: what float32 convolutions by Winograd's method are off


class Agreement(NamedTuple):
    """One output of one probe.

    ``max_abs`` is the largest difference, ``share`` the same as a part of the range of the values expected;
    None where the shapes or the places of what is no number differ. ``note`` says in words what is unlike.
    """

    output: str
    max_abs: float | None
    share: float | None
    equal: bool
    note: str = ""


def compare(name: str, expected: np.ndarray, found: np.ndarray, tolerance: float) -> Agreement:
    """Compare an output.

    The range reaches from the least to the greatest value expected; of values that are all the same it is
    their size. Integers have to be the same, whatever the tolerance. Dims of 1 may come and go, for some
    backends have ranks of their own; that is noted.
    """
    note = "" if found.shape == expected.shape else f"{_dims(found)} in place of {_dims(expected)}"
    if [d for d in found.shape if d != 1] != [d for d in expected.shape if d != 1]:
        return Agreement(name, None, None, False, note)
    wanted, got = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    finite = np.isfinite(wanted)
    if not (np.array_equal(finite, np.isfinite(got)) and np.array_equal(wanted[~finite], got[~finite], equal_nan=True)):
        return Agreement(name, None, None, False, "NaN or infinity in other places")
    wanted, got = wanted[finite], got[finite]
    if not wanted.size:
        return Agreement(name, 0.0, 0.0, True, note)
    largest = float(np.abs(wanted).max())
    span = float(np.ptp(wanted)) or largest
    off = float(np.abs(wanted - got).max())
    limit = max(tolerance * span, min(tolerance, _ROUNDING) * largest) if expected.dtype.kind == "f" else 0.0
    return Agreement(name, off, off / span if span else float(off > 0), off <= limit, note)


def _dims(value: np.ndarray) -> str:
    return "x".join(map(str, value.shape)) or "a scalar"
