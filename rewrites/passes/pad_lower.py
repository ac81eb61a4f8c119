"""Spell the seldom forms of Pad by those that every compiler has.

    x ── Pad(pads, axes) ── y          =>    x ── Pad(pads of every axis) ── y
    x ── Pad(negative) ── y            =>    x ── Slice ── Pad ── y
    x ── Pad(wrap) ── y                =>    x ─┬─ Slice ─┬─ Concat ── y     (an axis at a time)
    x ── Pad(of the batch) ── y        =>    x ── Concat(constant, ·, constant) ── y

Why: MNN 3.6.1 crashes on ``axes`` (opset 18); ncnn refuses it, negative pads and pads of the batch; OpenVINO
2026.4.1 and MNN have no ``wrap`` (opset 19).
Numbers: elements are moved; nothing is computed.
Refuses: nothing. A place is left where the pads, axes or value are not constant, or the rank unknown.
"""

import numpy as np

from surgery import Exact, Pass

END = np.iinfo(np.int64).max


class PadLower(Pass):
    operator = "Pad"
    contract = Exact()

    def rewrite(self, op, node):
        x = node.inputs[0]
        if x.shape is None:
            return op.skip(f"the rank of {x.name!r} is unknown")
        rank = len(x.shape)
        pads = node.attr("pads") if op.opset < 11 else node.constant(1)
        axes = node.constant(3) if len(node.inputs) > 3 and node.inputs[3] is not None else np.arange(rank)
        if pads is None or axes is None:
            return op.skip("its pads or axes are not constant")
        before, after = np.zeros(rank, np.int64), np.zeros(rank, np.int64)
        before[axes % rank], after[axes % rank] = np.split(np.asarray(pads, np.int64), 2)
        mode, value = node.attr("mode"), node.inputs[2] if len(node.inputs) > 2 else None
        cuts = (before < 0) | (after < 0)
        named = len(node.inputs) > 3 and node.inputs[3] is not None
        batch = mode == "constant" and (before[0] > 0 or after[0] > 0)
        if not (cuts.any() or named or batch or mode == "wrap"):
            return op.skip("its form is plain")
        if cuts.any():
            if mode != "constant":
                return op.skip(f"negative pads with mode {mode}")
            where = np.flatnonzero(cuts)
            ends = [int(after[axis]) if after[axis] < 0 else END for axis in where]
            x = op.Slice(x, np.maximum(-before[where], 0), np.array(ends), where)
            before, after = np.maximum(before, 0), np.maximum(after, 0)
        if mode == "wrap":
            return wrapped(op, x, before, after)
        if batch:
            x = longer(op, x, int(before[0]), int(after[0]), value)
            before[0] = after[0] = 0
        return op.Pad(x, np.concatenate([before, after]), value, mode=mode) if before.any() or after.any() else x


def wrapped(op, x, before, after):
    """Axis by axis, the end in front of the whole and its beginning behind."""
    for axis in np.flatnonzero(before + after):
        head = [op.Slice(x, [-int(before[axis])], [END], [int(axis)])] if before[axis] else []
        tail = [op.Slice(x, [0], [int(after[axis])], [int(axis)])] if after[axis] else []
        length = x.shape[axis] if x.shape is not None else None
        if not isinstance(length, int) or max(before[axis], after[axis]) > length:
            return op.skip(f"axis {axis} may be shorter than what is wrapped round it")
        x = op.Concat(*head, x, *tail, axis=int(axis))
    return x


def longer(op, x, before, after, value):
    """The batch with rows of `value` at both ends."""
    if value is None:
        value = op.constant(np.zeros((), x.dtype))
    rest = op.Slice(op.Shape(x), [1], [END])

    def rows(count):
        return [op.Expand(value, op.Concat(np.array([count]), rest, axis=0))] if count else []

    return op.Concat(*rows(before), x, *rows(after), axis=0)
