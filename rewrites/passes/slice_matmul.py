"""Take elements in steps, forwards or backwards, by a matrix of zeros and ones.

    x ── Slice(-1, -end, axis, -1) ── y     =>     x ── MatMul(turned) ── y

Why: ncnn takes steps of 1 only; torch's flip and strided slices are such.
Numbers: each result is one element times 1, and zeros; an infinity spreads along its row: the promise is for finite
values.
Refuses: nothing. A place is left with plain steps, over several axes, over an axis before the last two, or whose
length is free.
"""

import numpy as np

from surgery import Close, Pass


class SliceMatmul(Pass):
    operator = "Slice"
    contract = Close(rtol=1e-6, atol=0.0)
    domain = {"data": (-1e30, 1e30)}

    def rewrite(self, op, node):
        x = node.inputs[0]
        parts = [node.constant(i) for i in range(1, 5)]
        if op.opset < 10 or len(node.inputs) < 5 or any(part is None for part in parts):
            return op.skip("it has no constant steps")
        if x.shape is None or x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} has no floats of known rank")
        rank = len(x.shape)
        starts, ends, axes, steps = parts
        axes = axes % rank
        if len(axes) != 1 or steps[0] == 1:
            return op.skip("its steps are plain, or over several axes")
        axis, length = int(axes[0]), x.shape[axes[0]]
        if axis < rank - 2 or not isinstance(length, int):
            return op.skip("its axis is not among the last two, or free")
        kept = range(length)[slice_of(int(starts[0]), int(ends[0]), int(steps[0]), length)]
        if not kept:
            return op.skip("it takes nothing")
        matrix = (np.arange(length) == np.array(kept)[:, None]).astype(x.dtype)
        return op.MatMul(x, np.ascontiguousarray(matrix.T)) if axis == rank - 1 else op.MatMul(matrix, x)


def slice_of(start, end, step, length):
    """ONNX's bounds as Python's: an end below the first element is none (ONNX operator specification, Slice-13)."""
    if step < 0 and end < -length:
        return slice(start, None, step)
    return slice(start, end, step)
