"""Take elements in steps, forwards or backwards, by a matrix of zeros and ones.

    x ── Slice(-1, -end, axis, -1) ── y     =>     x ── MatMul(turned) ── y
    x ── Slice(-1, -end, axis, -1) ── y     =>     x ── Gather(n - 1, .., 0) ── y    (form=gather)

Why: ncnn takes steps of 1 only; torch's flip and strided slices are such. MNN 3.6.1 reads beyond its memory where
more than three axes are taken backwards; with ``form=gather`` those alone are rewritten, whatever their axis and type.
Numbers: each result is one element times 1, and zeros; an infinity spreads along its row: the promise is for finite
values.
Refuses: nothing. A place is left with plain steps, over several axes, over an axis before the last two, or whose
length is free.
"""

from typing import Literal

import numpy as np

from surgery import Close, Pass


class SliceMatmul(Pass):
    operator = "Slice"
    contract = Close(rtol=1e-6, atol=0.0)
    domain = {"data": (-1e30, 1e30)}
    form: Literal["matmul", "gather"] = "matmul"  # what it becomes

    def rewrite(self, op, node):
        x = node.inputs[0]
        parts = [node.constant(i) for i in range(1, 5)]
        if op.opset < 10 or len(node.inputs) < 5 or any(part is None for part in parts):
            return op.skip("it has no constant steps")
        gather = self.form == "gather"
        if x.shape is None or x.dtype is None or (x.dtype.kind != "f" and not gather):
            return op.skip(f"{x.name!r} has no floats of known rank")
        rank = len(x.shape)
        starts, ends, axes, steps = parts
        axes = axes % rank
        if len(axes) != 1 or steps[0] == 1:
            return op.skip("its steps are plain, or over several axes")
        axis, length = int(axes[0]), x.shape[axes[0]]
        if not isinstance(length, int) or (axis < rank - 2 and not gather):
            return op.skip("its axis is not among the last two, or free")
        if gather and steps[0] > 0:
            return op.skip("it goes forwards")
        kept = range(length)[slice_of(int(starts[0]), int(ends[0]), int(steps[0]), length)]
        if not kept:
            return op.skip("it takes nothing")
        if gather:
            return op.Gather(x, np.array(kept), axis=axis)
        matrix = (np.arange(length) == np.array(kept)[:, None]).astype(x.dtype)
        return op.MatMul(x, np.ascontiguousarray(matrix.T)) if axis == rank - 1 else op.MatMul(matrix, x)


def slice_of(start, end, step, length):
    """ONNX's bounds as Python's: an end below the first element is none (ONNX operator specification, Slice-13)."""
    if step < 0 and end < -length:
        return slice(start, None, step)
    return slice(start, end, step)
