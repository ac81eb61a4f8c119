"""Spell the seldom reductions by the common ones.

    x ── ReduceL1 ── y           =>    x ── Abs ── ReduceSum ── y
    x ── ReduceLogSum ── y       =>    x ── ReduceSum ── Log ── y
    x ── ReduceLogSumExp ── y    =>    x ─┬─ ReduceMax ─┬──────────────────── Add ── y
                                          └──── Sub ────┘── Exp ── ReduceSum ── Log ┘
    x ── ReduceMax([]) ── y      =>    x ── Identity ── y     (any of them, where empty axes mean none)

ReduceL2 and ReduceSumSquare become Mul, ReduceSum and Sqrt. With ``mean=true`` a sum is the mean times the count:

    x ── ReduceSum(axes) ── y    =>    x ── ReduceMean(axes) ── Mul(count) ── y

With ``single=true`` the largest or smallest over several axes is taken over one after the other:

    x ── ReduceMax(2, 3) ── y    =>    x ── ReduceMax(3) ── ReduceMax(2) ── y

Why: OpenVINO 2026.4.1 reduces ReduceL1, ReduceLogSum and ReduceLogSumExp over all axes where they stand in an
attribute; MNN 3.6.1 takes empty axes for all where they mean none (``noop_with_empty_axes``).
pnnx 20261020 loses one axis that is an input; those of ReduceMean are an attribute up to opset 17, of ReduceSum to 12.
It takes ReduceMax and ReduceMin over one axis or over all.
Numbers: the function bodies of the ONNX operator specification (ReduceL1-18, ReduceLogSum-18,
ReduceLogSumExp-18); the largest element is taken out first, so that Exp does not overflow.
Refuses: nothing. A place with axes that are not constant is left, and with ``mean=true`` one whose lengths are free.
"""

import math

import numpy as np

from surgery import Close, Pass


class ReduceForms(Pass):
    operator = (
        *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ReduceSum"),
        *("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"),
    )
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"data": (-1e18, 1e18)}
    mean: bool = False  # sums as means times their count
    single: bool = False  # the largest and smallest over one axis at a time

    def rewrite(self, op, node):
        x = node.inputs[0]
        axes = node.attr("axes")
        if len(node.inputs) > 1 and node.inputs[1] is not None:
            known = node.constant(1)
            if known is None:
                return op.skip("its axes are not constant")
            axes = known.tolist()
        if self.single and node.op_type in ("ReduceMax", "ReduceMin") and len(axes or ()) > 1 and x.shape is not None:
            for axis in sorted((axis % len(x.shape) for axis in axes), reverse=True):
                x = getattr(op, node.op_type)(x, [axis], keepdims=node.attr("keepdims"))
            return x
        idle = not axes and node.attr("noop_with_empty_axes", 0)
        common = node.op_type in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")
        if common or (node.op_type == "ReduceSum" and (idle or not self.mean or not axes)):
            return op.Identity(x) if idle else op.skip("it is a common one")
        if x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        keep = node.attr("keepdims")

        lengths = [x.shape[axis] for axis in axes or ()] if x.shape is not None else [None]
        numbers = [length for length in lengths if isinstance(length, int)]
        if self.mean and len(numbers) < len(lengths):
            return op.skip("lengths that it sums over are free")
        count = float(math.prod(numbers))

        def total(values, keepdims=keep):
            if self.mean and axes:
                return op.Mul(op.ReduceMean(values, axes, keepdims=keepdims), count)
            return values if idle else op.ReduceSum(values, axes or None, keepdims=keepdims)

        if node.op_type == "ReduceSum":
            return total(x)
        if node.op_type == "ReduceL1":
            return total(op.Abs(x))
        if node.op_type == "ReduceLogSum":
            return op.Log(total(x))
        if node.op_type == "ReduceSumSquare":
            return total(op.Mul(x, x))
        if node.op_type == "ReduceL2":
            return op.Sqrt(total(op.Mul(x, x)))
        if idle:
            return op.Log(op.Exp(x))
        highest = op.ReduceMax(x, axes or None, keepdims=1)
        logs = op.Add(op.Log(total(op.Exp(op.Sub(x, highest)), 1)), highest)
        if keep:
            return logs
        every = axes or (None if x.shape is None else list(range(len(x.shape))))
        return op.skip(f"the rank of {x.name!r} is unknown") if every is None else op.Squeeze(logs, np.array(every))
