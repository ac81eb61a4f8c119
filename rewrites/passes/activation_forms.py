"""Spell PRelu of many or computed slopes, and Hardmax, by arithmetic.

    x, slopes ── PRelu ── y    =>    Relu(x) - slopes * Relu(-x) ── y
    x ── Hardmax(axis) ── y    =>    m = 1 - Sign(max x - x);  m * (1 - Sign(m before it on the axis)) ── y

Why: ncnn takes stored slopes by channel and lacks Hardmax, as does MNN 3.6.1.
Numbers: of PRelu one of the two terms is zero. Of several largest elements Hardmax names the first (ONNX operator
specification, Hardmax-13): a product with a triangle of ones counts those before; infinities are not promised.
Refuses: nothing. A PRelu whose slopes are by channel is left, a Hardmax below opset 13 or of a free
length.
"""

import numpy as np

from surgery import Close, Pass


class ActivationForms(Pass):
    operator = ("PRelu", "Hardmax")
    contract = Close(rtol=1e-6, atol=1e-7)
    domain = {"X": (-1e30, 1e30), "input": (-1e30, 1e30), "slope": (-1e3, 1e3)}
    computed: bool = False  # also slopes by channel that are not stored

    def rewrite(self, op, node):
        x = node.inputs[0]
        if x.shape is None or x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} has no floats of known rank")
        return prelu(op, node, x, self.computed) if node.op_type == "PRelu" else hardmax(op, node, x)


def prelu(op, node, x, computed):
    """Both sides of zero by themselves."""
    slope, rank = node.inputs[1], len(x.shape)
    computed = computed and slope.constant is None
    others = [d for axis, d in enumerate(slope.shape or (), rank - len(slope.shape or ())) if axis != 1]
    if slope.shape is None or (not computed and all(d == 1 for d in others)):
        return op.skip("its slopes are by channel")
    return op.Sub(op.Relu(x), op.Mul(slope, op.Relu(op.Neg(x))))


def hardmax(op, node, x):
    """1 at the first of the largest, else 0."""
    rank = len(x.shape)
    axis = node.attr("axis") % rank
    length = x.shape[axis]
    if op.opset < 13 or not isinstance(length, int):
        return op.skip("below opset 13 it is over several axes; and its length must be known")
    order = [*range(rank)]
    order[axis], order[-1] = order[-1], order[axis]
    turned = axis != rank - 1
    z = op.Transpose(x, perm=order) if turned else x
    largest = op.Sub(1.0, op.Sign(op.Sub(op.ReduceMax(z, [rank - 1], keepdims=1), z)))
    before = op.MatMul(largest, np.triu(np.ones((length, length), x.dtype), 1))
    y = op.Mul(largest, op.Sub(1.0, op.Sign(before)))
    return op.Transpose(y, perm=order) if turned else y
