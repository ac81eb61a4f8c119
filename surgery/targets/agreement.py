"""Hold what a backend gives against what the model gave before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-3  # of the range of an output
_ROUNDING = 3e-5  # of its largest value: what float32 convolutions by Winograd's method are off


class Agreement(NamedTuple):
    """One output of one probe.

    ``max_abs`` is the largest difference, ``share`` the same as a part of the output's range; None where the
    shapes or the places of what is no number differ. ``note`` says in words what is unlike.
    """

    output: str
    max_abs: float | None
    share: float | None
    equal: bool
    note: str = ""


class Range(NamedTuple):
    """Where the values expected of an output lie: how far from the least to the greatest, and the largest size."""

    span: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[np.ndarray]) -> Range:
        """Over all its probes: at one of them it may be all but constant, a mask that is empty."""
        finite = [value[np.isfinite(value)].astype(np.float64) for value in values]
        whole = np.concatenate(finite) if finite else np.zeros(0)
        if not whole.size:
            return cls(0.0, 0.0)
        largest = float(np.abs(whole).max())
        return cls(float(np.ptp(whole)) or largest, largest)


def compare(name: str, expected: np.ndarray, found: np.ndarray, tolerance: float, within: Range) -> Agreement:
    """Compare an output.

    Integers have to be the same, whatever the tolerance. Dims of 1 may come and go, for some backends
    have ranks of their own; that is noted.
    """
    note = "" if found.shape == expected.shape else f"{_dims(found)} in place of {_dims(expected)}"
    if [d for d in found.shape if d != 1] != [d for d in expected.shape if d != 1]:
        return Agreement(name, None, None, False, note)
    wanted, got = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    finite = np.isfinite(wanted)
    if not (np.array_equal(finite, np.isfinite(got)) and np.array_equal(wanted[~finite], got[~finite], equal_nan=True)):
        return Agreement(name, None, None, False, "NaN or infinity in other places")
    off = float(np.abs(wanted[finite] - got[finite]).max(initial=0.0))
    rounding = min(tolerance, _ROUNDING) * within.largest
    limit = max(tolerance * within.span, rounding) if expected.dtype.kind == "f" else 0.0
    return Agreement(name, off, off / within.span if within.span else float(off > 0), off <= limit, note)


def _dims(value: np.ndarray) -> str:
    return "x".join(map(str, value.shape)) or "a scalar"
