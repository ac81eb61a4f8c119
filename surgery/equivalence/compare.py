"""Compare two results: how far they are apart, and whether that is rounding.

Per output and probe, an element may be off by

    rtol * |before| + max(scale * max|before|, 4 * floor, atol)

where `floor` is by how much rounding alone was seen to move this output: the model before,
run with the runtime's optimisation and with two threads. NaN and infinities of either sign
must be in the same places; integers, booleans and strings must be equal. Rounding grows with
the depth of a model and with the size of what is summed, so that an allowance per element
alone refuses right models and one per tensor alone passes wrong ones: with these numbers, no
result of onnxslim on nine OCR models was refused on six kinds of input, and 108 of 108 faults
of 0.1 % were seen. What hides beside larger elements is looked for by `slices`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto

from surgery.equivalence.subject import Subject
from surgery.equivalence.taps import Tap
from surgery.protos import all_nodes

DEAD = 1e-6  # a float output that stays below this says nothing, its own or by rounding
TINY = 1e-30  # below it a float32 result may be 0 by underflow
ILL = 1e-3  # an output that rounding moves by this share of its largest element says nothing


@dataclass(frozen=True)
class Rule:
    """What is allowed to differ; see the module. ``exact`` asks for the same bits."""

    rtol: float = 1e-4
    scale: float = 1e-5
    atol: float = 0.0
    exact: bool = False

    def given(self, rtol: float | None, atol: float | None) -> Rule:
        """This rule, or the plain one of `rtol` and `atol` if the user gave either."""
        if rtol is None and atol is None:
            return self
        return replace(self, rtol=rtol or 0.0, atol=atol or 0.0, scale=0.0)

    def allowance(self, size: np.ndarray, peak: float, floor: float) -> np.ndarray:
        """By how much elements of magnitude `size` may be off, `peak` being the largest."""
        fixed = max(self.scale * peak, 4 * floor, self.atol)
        return np.asarray(self.rtol * size + fixed)


EXACT = Rule(0.0, 0.0, exact=True)

# By the widest rounding that takes part: eps is 1.2e-7 for float, 9.8e-4 for float16, 7.8e-3
# for bfloat16, 2.2e-16 for double. The narrow types start at a few eps, not at the 840 that
# rtol is for float: their operators mostly add up in float, and the floor is measured where
# that does not hold.
RULES = {
    "float": Rule(),
    "float16": Rule(4e-3, 2e-3),
    "bfloat16": Rule(3e-2, 1.6e-2),
    "double": Rule(1e-8, 1e-9),
}

# Stored results of another framework: it sums in another order in every layer, which on the
# nine models moved results by up to 1.5e-5 where the largest is 1; a wrong border mode of a
# sampler moves them by 0.17.
REFERENCE = Rule(1e-3, 1e-4)


@dataclass
class Distance:
    """How far `after` is from `before`; fields as in `report.OutputReport`.

    ``why`` is empty where the two agree under the rule; else it says in words what does not.
    ``peak`` is the largest finite magnitude before.
    """

    max_abs: float = 0.0
    max_rel: float = 0.0
    cosine: float = 1.0
    outside: float = 0.0
    peak: float = 0.0
    why: str = ""
    structural: bool = False  # not the values differ, but shape, dtype or kind

    @property
    def ok(self) -> bool:
        """Whether the two agree."""
        return not self.why

    def worst(self, other: Distance) -> Distance:
        """Both in one: the larger differences, the smaller cosine, the first reason."""
        return Distance(
            max(self.max_abs, other.max_abs),
            max(self.max_rel, other.max_rel),
            min(self.cosine, other.cosine),
            max(self.outside, other.outside),
            max(self.peak, other.peak),
            self.why or other.why,
            self.structural or other.structural,
        )


def distance(before: Any, after: Any, rule: Rule, floor: float = 0.0) -> Distance:
    """Compare two values of a runtime.

    Args:
        before: an array of any shape and dtype; or a list of values, for a sequence; a dict,
            for a map; None, for an optional that is empty.
        after: the same of the other model.
        rule: what may differ.
        floor: by how much rounding moves it, absolute.
    """
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        return _sequences(list(before), list(after), rule, floor)
    if isinstance(before, dict) and isinstance(after, dict):
        if before.keys() != after.keys():
            return _unlike("the maps have other keys")
        return _sequences(list(before.values()), [after[key] for key in before], rule, floor)
    if before is None or after is None:
        if before is after:
            return Distance()
        return _unlike(f"{_kind(before)} became {_kind(after)}")
    a, b = np.asarray(before), np.asarray(after)
    if a.shape != b.shape:
        return _unlike(f"the shape {list(a.shape)} became {list(b.shape)}")
    if a.dtype != b.dtype and not (_texts(a) and _texts(b)):
        return _unlike(f"{a.dtype} became {b.dtype}")
    if a.size == 0:
        return Distance()
    if a.dtype.kind not in "fc" and "float" not in a.dtype.name:  # bfloat16 and float8 are of kind V
        return _discrete(a, b)
    return _floats(a, b, rule, floor)


def _unlike(why: str) -> Distance:
    return Distance(outside=1.0, cosine=0.0, why=why, structural=True)


def _sequences(before: list[Any], after: list[Any], rule: Rule, floor: float) -> Distance:
    if len(before) != len(after):
        return _unlike(f"{len(before)} elements became {len(after)}")
    total = Distance()
    for a, b in zip(before, after, strict=True):
        total = total.worst(distance(a, b, rule, floor))
    return total


def _discrete(a: np.ndarray, b: np.ndarray) -> Distance:
    wrong = int(np.count_nonzero(a != b))
    if not wrong:
        return Distance()
    result = Distance(outside=wrong / a.size, why=f"{wrong} of {a.size} elements are other {_noun(a)}")
    if a.dtype.kind in "iu":
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
        result.max_abs = float(gap.max())
        result.max_rel = float((gap / np.maximum(np.abs(a.astype(np.float64)), 1)).max())
    return result


def _floats(a: np.ndarray, b: np.ndarray, rule: Rule, floor: float) -> Distance:
    if a.dtype.kind == "c":
        a, b = (np.ascontiguousarray(x).view(x.real.dtype) for x in (a, b))
    same_bits = _bits(a) == _bits(b)
    if same_bits.all():
        finite = np.isfinite(a)
        return Distance(peak=float(np.abs(a[finite].astype(np.float64)).max(initial=0.0)))
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    both = np.isfinite(wide_a) & np.isfinite(wide_b)
    # Elsewhere only equal kinds agree: NaN with NaN, an infinity with that of its sign.
    alike = both | (np.isnan(wide_a) & np.isnan(wide_b)) | (wide_a == wide_b)
    x, y = wide_a[both], wide_b[both]
    gap, size = np.abs(x - y), np.abs(x)
    peak = float(size.max(initial=0.0))
    result = Distance(max_abs=float(gap.max(initial=0.0)), peak=peak)
    # Of elements near zero the relative difference says nothing; those count by max_abs.
    if peak > DEAD or result.max_abs > DEAD:
        large = size > 1e-3 * peak
        result.max_rel = float((gap[large] / size[large]).max(initial=0.0))
        result.cosine = _cosine(x, y)
    if rule.exact:
        wrong = ~(same_bits | (np.isnan(wide_a) & np.isnan(wide_b)))
        beyond, what = int(np.count_nonzero(wrong)), "have other bits"
    else:
        off = int(np.count_nonzero(gap > rule.allowance(size, peak, floor)))
        strange = int(alike.size - np.count_nonzero(alike))
        beyond = off + strange
        what = "are beyond the tolerance" if off else "are NaN or infinite on one side only"
    result.outside = beyond / a.size
    if beyond:
        result.why = f"{beyond} of {a.size} elements {what}"
    return result


def slices(before: Any, after: Any, rule: Rule, share: float = 1.0) -> set[tuple[int, int]]:
    """The slices of a tensor, as (axis, index), that are off by far at their own scale.

    A column of coordinates hides beside it what becomes of a column of probabilities. Ten times
    `rtol` is allowed here, of the largest element of the slice: sums that cancel have the error of
    their terms, so that this by itself is a suspicion, not a verdict.

    Args:
        before: a value of a runtime.
        after: the same of the other model, which is equal by `rule`.
        share: of what is allowed.
    """
    a, b = before, after
    if not isinstance(a, np.ndarray) or not a.ndim or a.dtype.kind != "f" or a.shape != np.shape(b) or not rule.scale:
        return set()
    if np.array_equal(a, b):
        return set()
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(a.astype(np.float64) - b)
    size = np.abs(a.astype(np.float64))
    either = ~np.isfinite(gap)
    gap[either], size[either & ~np.isfinite(size)] = 0.0, 0.0
    found: set[tuple[int, int]] = set()
    for axis in range(a.ndim):
        if a.shape[axis] > 1:
            rest = tuple(i for i in range(a.ndim) if i != axis)
            allowed = np.maximum(10 * share * rule.rtol * size.max(rest), max(rule.atol, TINY))
            found.update((axis, int(i)) for i in np.flatnonzero(gap.max(rest) > allowed))
    return found


def _bits(a: np.ndarray) -> np.ndarray:
    bits: np.ndarray = np.ascontiguousarray(a).view(np.dtype(f"u{a.dtype.itemsize}"))
    return bits


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    # Scaled first: squares of large floats overflow.
    x, y = x / (np.abs(x).max(initial=0.0) or 1.0), y / (np.abs(y).max(initial=0.0) or 1.0)
    norms = float(np.sqrt((x @ x) * (y @ y)))
    if norms:
        return float(x @ y) / norms
    return 1.0 if not x.any() and not y.any() else 0.0


def _texts(a: np.ndarray) -> bool:
    return a.dtype.kind in "OUS"


def _noun(a: np.ndarray) -> str:
    return "strings" if _texts(a) else "booleans" if a.dtype.kind == "b" else "integers"


def _kind(value: Any) -> str:
    return "nothing" if value is None else "a sequence" if isinstance(value, (list, tuple)) else "a tensor"


def canonical(tap: Tap, logits: np.ndarray) -> np.ndarray:
    """Logits without what their operator ignores: a shift along its axis; saturation.

    Adding a constant before a Softmax, or clipping at 88 before a Sigmoid, is no fault.
    """
    if logits.dtype.kind != "f" or not logits.size:
        return logits
    if tap.axis is None:
        return np.asarray(np.clip(logits, -80, 80))
    if not -logits.ndim <= tap.axis < max(logits.ndim, 1):
        return logits
    axis = tap.axis % max(logits.ndim, 1)
    axes = tuple(range(axis, logits.ndim)) if tap.flat else axis
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.asarray(logits - logits.max(axis=axes, keepdims=True))


def tied(tap: Tap, logits: np.ndarray, before: Any, after: Any, rule: Rule, floor: float) -> bool:
    """Whether two sets of picks of ArgMax or TopK differ only where the scores are as good as equal.

    Args:
        tap: of the output, with ``picks``.
        logits: the scores that were picked from, before.
        before: indices along the tap's axis, in the order of the picks; any layout.
        after: the same of the other model.
    """
    a, b = np.asarray(before), np.asarray(after)
    if not tap.picks or tap.axis is None or rule.exact or a.shape != b.shape or a.dtype.kind not in "iu":
        return False
    axis = tap.axis % max(logits.ndim, 1)
    outer = logits.size // max(logits.shape[axis], 1)
    if not outer or a.size % outer or logits.dtype.kind != "f":
        return False
    if b.size and (b.min() < 0 or b.max() >= logits.shape[axis]):
        return False
    shape = list(logits.shape)
    shape[axis] = a.size // outer
    left, right = (np.take_along_axis(logits, x.reshape(shape).astype(np.int64), axis) for x in (a, b))
    size = np.abs(left.astype(np.float64))
    peak = float(np.abs(logits[np.isfinite(logits)].astype(np.float64)).max(initial=0.0))
    gap = np.abs(left.astype(np.float64) - right)
    return bool((gap <= 2 * rule.allowance(size, peak, floor)).all())


def precision(subject: Subject | None) -> str:
    """The float type of the widest rounding that takes part: a key of `RULES`."""
    if subject is None:
        return "float"
    graph = subject.proto.graph
    elems = {port.elem for port in (*subject.inputs, *subject.outputs)}
    elems |= {tensor.data_type for tensor in subject.weights.values()}
    elems |= {a.i for node in all_nodes(graph) if node.op_type == "Cast" for a in node.attribute if a.name == "to"}
    for code, name in (
        (TensorProto.BFLOAT16, "bfloat16"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.FLOAT, "float"),
    ):
        if code in elems:
            return name
    return "double" if TensorProto.DOUBLE in elems else "float"
