"""Decide whether two results of a cut are the same but for rounding.

In turn, until one accepts:

1. shapes, dtypes, integers, booleans and strings are equal; NaN and infinities of either sign
   are in the same places. This is asked for, whatever follows.
2. `max|new - old| <= max(atol, rtol * max|old|)`: the scale of the tensor counts, not that of
   each element. What cancels within a sum has the error of the sum's terms.
3. The half before in double precision says how wrong both are: `e_new <= 8 max(e_old, noise) +
   64 eps max|ref|`, for noise see 4. It runs on onnx's evaluator, with BatchNormalization and Conv of our own, for the
   evaluator's are wrong at old opsets, or slow. Its word counts only where it agrees with the
   runtime, or with the half after; a fault of the evaluator would let any other pass.
4. By how much the half before moves if its inputs and constants move in their last bit:
   `max|new - old| <= 8 noise + 4 eps max|old|`. Not where an operator has steps (Round, ArgMax):
   there the smallest move may change all, and this would accept any rounding mode.

A plain `allclose` refuses half of all right folds on large values, and with a tolerance that
does not it passes wrong ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, numpy_helper

from surgery.equivalence.session import Failed
from surgery.equivalence.sites.cuts import Half
from surgery.equivalence.sites.trial import Feeds, Runnable
from surgery.protos import read_weight, subgraphs

STEPS = {
    "Round", "Floor", "Ceil", "Sign", "ArgMax", "ArgMin", "TopK", "Equal", "Less", "LessOrEqual", "Greater",
    "GreaterOrEqual", "QuantizeLinear", "DynamicQuantizeLinear", "NonMaxSuppression", "Hardmax", "Unique",
    "NonZero", "IsNaN", "IsInf", "Mod", "Not", "And", "Or", "Xor", "Where", "ThresholdedRelu", "Shrink", "OneHot",
}  # fmt: skip

_FLOOR = 1e-30  # below it a float32 result may be 0 by underflow
_EPS = {np.dtype(np.float16): 9.8e-4, np.dtype(np.float32): 1.2e-7, np.dtype(np.float64): 2.2e-16}
_BITS = 2.0**-23  # a move of the last bit of a float32, relative


@dataclass(frozen=True)
class Tolerance:
    """What may differ, for float32; see `surgery.contract.Close`.

    ``exact`` asks for value and sign bit. With ``grows`` the absolute part is meant for values as
    real runs have them, and grows with larger ones.
    """

    rtol: float = 1e-5
    atol: float = 0.0
    exact: bool = False
    grows: bool = False


CLOSE = Tolerance()


@dataclass
class Gap:
    """How far two results are apart. ``why`` is empty where they agree."""

    max_abs: float = 0.0
    scale: float = 0.0  # the largest finite magnitude before
    why: str = ""
    rounding: bool = False  # only magnitudes differ, so that an arbiter may accept it


def compare(old: Any, new: Any, tolerance: Tolerance, *, places: bool = True, signs: bool = True) -> Gap:
    """Steps 1 and 2 of the criterion.

    Args:
        old: an array, or a list of them for a sequence, or None for an empty optional.
        new: the same of the half after.
        tolerance: what may differ.
        places: NaN and infinities must be in the same places; else only no NaN may turn finite.
        signs: 0 and -0 differ, where `tolerance` is exact.
    """
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return Gap(why=f"{len(old)} elements became {len(new)}")
        gaps = [compare(a, b, tolerance, places=places, signs=signs) for a, b in zip(old, new, strict=True)]
        return max(gaps, key=lambda gap: (bool(gap.why), gap.max_abs), default=Gap())
    if old is None or new is None:
        return Gap(why="" if old is new else "one is empty")
    a, b = np.asarray(old), np.asarray(new)
    if a.shape != b.shape:
        return Gap(why=f"the shape {list(a.shape)} became {list(b.shape)}")
    if a.dtype != b.dtype:
        return Gap(why=f"{a.dtype} became {b.dtype}")
    if a.dtype.kind != "f":
        return _whole(a, b)
    return _floats(a, b, tolerance, places, signs)


def _whole(a: np.ndarray, b: np.ndarray) -> Gap:
    wrong = int(np.count_nonzero(a != b))
    gap = Gap(why=f"{wrong} of {a.size} elements differ" if wrong else "")
    if wrong and a.dtype.kind in "iu":
        gap.max_abs = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
    return gap


def _floats(a: np.ndarray, b: np.ndarray, tolerance: Tolerance, places: bool, signs: bool) -> Gap:
    finite_a, finite_b = np.isfinite(a), np.isfinite(b)
    both = finite_a & finite_b
    x, y = a[both].astype(np.float64), b[both].astype(np.float64)
    gap = Gap(float(np.abs(x - y).max(initial=0.0)), float(np.abs(x).max(initial=0.0)))
    if not both.all():
        strange = ~both & ~((np.isnan(a) & np.isnan(b)) | (a == b))
        if not places:
            strange = np.isnan(a) & finite_b
        if wrong := int(np.count_nonzero(strange)):
            gap.why = f"{wrong} of {a.size} elements are NaN or infinite on one side only"
            return gap
    if tolerance.exact:
        other = (x != y) | ((np.signbit(x) != np.signbit(y)) if signs else False)
        if wrong := int(np.count_nonzero(other)):
            gap.why = f"{wrong} of {a.size} elements have another value or sign"
        return gap
    wider = _EPS.get(a.dtype, 1.2e-7) / 1.2e-7
    # Narrow types mostly add up in float32: 200 times their eps, where float32 gets 84.
    rtol = tolerance.rtol * (min(wider, 200.0) if wider > 1 else wider)
    if gap.max_abs > max(tolerance.atol * max(wider, 1.0), rtol * gap.scale, _FLOOR):
        share = gap.max_abs / gap.scale if gap.scale else float("inf")
        gap.why = f"off by {gap.max_abs:.3g}, {share:.2g} of the largest"
        gap.rounding = True
    return gap


class Arbiter:
    """Steps 3 and 4 of the criterion, for one cut.

    Args:
        half: the half of the model before.
    """

    def __init__(self, half: Half) -> None:
        from surgery.equivalence.sites.double import Double  # the evaluator takes long to import, and is seldom needed

        self._half = half
        self._steps = not STEPS.isdisjoint(half.operators) or _casts_to_integer(half)
        self._noisy: list[Runnable] = []
        self._double = Double(half)

    def accepts(self, feeds: Feeds, old: np.ndarray, new: np.ndarray) -> bool:
        """Whether `new` is as good as `old`; both are of one shape, with NaN in the same places."""
        both = np.isfinite(old) & np.isfinite(new)
        noise = None if self._steps else self._noise(feeds, old, both)
        reference = self._double.run(feeds)
        eps = _EPS.get(old.dtype, 1.2e-7)
        if reference is not None and reference.shape == old.shape:
            both &= np.isfinite(reference)
            ref, x, y = reference[both], old[both].astype(np.float64), new[both].astype(np.float64)
            peak = float(np.abs(ref).max(initial=0.0))
            e_old, e_new = (float(np.abs(v - ref).max(initial=0.0)) for v in (x, y))
            if e_new < e_old and e_new <= max(CLOSE.rtol * peak, 8 * (noise or 0.0)):
                return True  # two that have nothing in common agree: the half before is inaccurate
            if e_old <= max(1e-3 * peak, 64 * (noise or 0.0)):
                return e_new <= 8 * max(e_old, noise or 0.0) + 64 * eps * peak
        if noise is None:
            return False
        gap = float(np.abs(new[both].astype(np.float64) - old[both]).max(initial=0.0))
        return gap <= 8 * noise + 4 * eps * float(np.abs(old[both]).max(initial=0.0))

    def _noise(self, feeds: Feeds, old: np.ndarray, both: np.ndarray) -> float | None:
        """By how much the result moves when inputs and constants move in their last bit."""
        worst = None
        try:
            if not self._noisy:
                self._noisy = [Runnable(_moved(self._half, seed)) for seed in (1, 2)]
            for seed, runnable in enumerate(self._noisy):
                rng = np.random.default_rng(seed)
                moved = runnable.run({name: _jog(value, rng) for name, value in feeds.items()})[0]
                if moved.shape == old.shape:
                    gap = np.abs(moved[both].astype(np.float64) - old[both])
                    worst = max(worst or 0.0, float(gap[np.isfinite(gap)].max(initial=0.0)))
        except Failed:
            return None
        return worst


def _jog(value: Any, rng: np.random.Generator) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    move = max(_BITS, _EPS.get(value.dtype, _BITS))
    return np.asarray(value * (1 + move * (rng.integers(0, 2, value.shape) * 2 - 1)), value.dtype)


def _moved(half: Half, seed: int) -> Half:
    """A half whose float constants are off in the last bit."""
    rng = np.random.default_rng(seed)
    proto = onnx.ModelProto()
    proto.CopyFrom(half.proto)
    for tensor in proto.graph.initializer:
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(_jog(read_weight(tensor, half.folder), rng), name))
    return Half(proto, half.folder, half.labels)


def _casts_to_integer(half: Half) -> bool:
    floats = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
    return any(
        a.name == "to" and a.i not in floats
        for node in _nodes(half.proto.graph)
        if node.op_type == "Cast"
        for a in node.attribute
        if a.type == AttributeProto.INT
    )


def _nodes(graph: onnx.GraphProto) -> list[NodeProto]:
    return [n for node in graph.node for n in (node, *(m for g in subgraphs(node) for m in _nodes(g)))]
