"""Spell out what Softmax meant before opset 13, for compilers that take it for today's.

    x ── Softmax(axis) ── y     =>     x ─┬─ Flatten(axis) ── Softmax ── Reshape ── y
                                          └──────────── Shape ───────────┘

Why: below opset 13 Softmax and LogSoftmax work over all axes from ``axis`` on, taken as one (ONNX operator
specification, Softmax-11); OpenVINO 2026.4.1, MNN 3.6.1 and ncnn work over the one axis, and say nothing.
Numbers: the same sums over the same elements in the same order.
Refuses: nothing. Where ``axis`` is the last one, both meanings agree, and nothing is done; a place of
unknown rank is left.
"""

from surgery import Close, Pass


class SoftmaxFlatten(Pass):
    operator = ("Softmax", "LogSoftmax")
    contract = Close(rtol=1e-6, atol=1e-7)

    def rewrite(self, op, node):
        (x,) = node.inputs
        if op.opset >= 13:
            return op.skip(f"at opset {op.opset} it works over one axis")
        if x.shape is None:
            return op.skip(f"the rank of {x.name!r} is unknown")
        rank, axis = len(x.shape), node.attr("axis")
        axis += rank if axis < 0 else 0
        if axis == rank - 1:
            return op.skip("it works over the last axis alone")
        flat = getattr(op, node.op_type)(op.Flatten(x, axis=axis), axis=-1)
        return op.Reshape(flat, op.Shape(x))
