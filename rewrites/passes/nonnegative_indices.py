"""Count indices from the front, for compilers that do not count them from the end.

    data, indices ── Gather ── y     =>     data, indices' ── Gather ── y

Constant indices are rewritten where they stand. Others get what the length of their axis adds:

    indices ─┬─ Less(0) ── Cast ── Mul(length) ─┐
             └──────────────────────────────── Add ── indices'

The same for GatherElements, GatherND, ScatterElements and ScatterND.

Why: an index below 0 counts from the end (ONNX operator specification, Gather-11). MNN 3.6.1 reads beyond
its memory there, in GatherND, GatherElements and ScatterElements; ncnn has constant ones only.
Numbers: indices are integers; the element read is the same.
Refuses: nothing. Indices that can't be negative are left, and so are places where the length of an axis
that constant indices count is unknown.
"""

import numpy as np

from surgery import Exact, Pass

# Operators that give no negative number.
NATURAL = {"ArgMax", "ArgMin", "Shape", "Size", "NonZero", "TopK"}


class NonnegativeIndices(Pass):
    operator = ("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND")
    contract = Exact()

    def rewrite(self, op, node):
        data, indices = node.inputs[:2]
        known = indices.constant
        if known is not None and not (known < 0).any():
            return op.skip("its indices are not negative")
        maker = indices.ir.producer()
        if known is None and maker is not None and maker.op_type in NATURAL and not maker.domain:
            return op.skip(f"{maker.op_type} gives no negative index")
        if maker is not None and counted(maker):
            return op.skip("they are counted from the front already")
        lengths = self.lengths(op, node, data, indices)
        if isinstance(lengths, str):
            return op.skip(lengths)
        if known is not None:
            fixed = op.constant((known + (known < 0) * lengths).astype(known.dtype))
        else:
            if indices.dtype is None:
                return op.skip(f"the element type of {indices.name!r} is unknown")
            if isinstance(lengths, np.ndarray):
                lengths = op.constant(lengths.astype(indices.dtype))
            elif indices.dtype != np.int64:
                lengths = op.Cast(lengths, to=indices.dtype)
            fixed = op.Add(indices, op.Mul(op.Cast(op.Less(indices, 0), to=indices.dtype), lengths))
        attributes = {name: node.attr(name) for name in node.ir.attributes}
        return getattr(op, node.op_type)(data, fixed, *node.inputs[2:], **attributes)

    def lengths(self, op, node, data, indices):
        """How long the axes are that the indices count: an array, a tensor, or why it can't be told."""
        if not node.op_type.endswith("ND"):
            axis = node.attr("axis")
            size = None if data.shape is None else data.shape[axis]
            if isinstance(size, int):
                return np.array(size)
            if indices.constant is not None or (data.shape is None and axis < 0):
                return f"how long axis {axis} of {data.name!r} is, is unknown"
            return op.Gather(op.Shape(data), axis if axis >= 0 else axis + len(data.shape))
        depth = None if not indices.shape else indices.shape[-1]
        if not isinstance(depth, int):
            return f"how many axes {indices.name!r} counts is unknown"
        first = node.attr("batch_dims", 0)
        sizes = None if data.shape is None else data.shape[first : first + depth]
        if sizes is not None and all(isinstance(size, int) for size in sizes):
            return np.array(sizes)
        if indices.constant is not None:
            return f"the lengths of {data.name!r} are unknown"
        return op.Slice(op.Shape(data), [first], [first + depth])


def counted(maker):
    """Whether this pass made the indices: Add of Mul of Cast of Less."""
    for op_type, index in (("Add", 1), ("Mul", 0), ("Cast", 0)):
        if maker is None or maker.op_type != op_type:
            return False
        maker = maker.inputs[index].producer()
    return maker is not None and maker.op_type == "Less"
