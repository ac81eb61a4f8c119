"""Read OneHot out of a table, for compilers that lack it.

    indices ── OneHot(depth) ── y      =>      indices ── Gather(table) ── y

The table holds the ``depth`` rows that OneHot can give. Where the indices are those of an ArgMax over no
more than ``depth`` elements, that is all. Else indices may be negative, which count from the end, or lie
outside, where every element is "off": they are clipped, and read from a table of 2 * depth + 2 rows.

    indices ── Max(-depth-1) ── Min(depth) ── Add(depth+1) ── Gather(off, eye, eye, off) ── y

Why: MNN 3.6.1 gives up the shapes behind a OneHot in RARE's decoder, and counts negative indices wrongly;
ATC has OneHot only for some types. A Gather of a constant is known everywhere.
Numbers: the elements are those of ``values``, moved; nothing is computed.
Refuses: nothing. A place is left where depth or values are not constant, or the indices are floats.
"""

import numpy as np

from surgery import Exact, Pass

LARGEST = 1 << 22  # elements of a table; beyond it memory counts for more than an operator


class OneHotGather(Pass):
    operator = "OneHot"
    contract = Exact()

    def rewrite(self, op, node):
        indices = node.inputs[0]
        depth, values = node.constant(1), node.constant(2)
        if depth is None or values is None:
            return op.skip("depth or values are not constant")
        if indices.dtype is None or indices.dtype.kind not in "iu":
            return op.skip(f"the indices are of type {indices.dtype or 'unknown'}")
        size = int(depth.reshape(-1)[0])
        if size < 1 or (2 * size + 2) * size > LARGEST:
            return op.skip(f"depth is {size}")
        axis = node.attr("axis")
        if indices.shape is None and axis != -1:
            return op.skip(f"the rank of {indices.name!r} is unknown")
        rank = len(indices.shape or ())
        off, on = values
        eye = np.where(np.eye(size, dtype=bool), on, off).astype(values.dtype)
        if not within(indices, size):
            none = np.full((1, size), off, values.dtype)
            eye = np.concatenate([none, eye, eye, none])
            if indices.dtype != np.int64:
                indices = op.Cast(indices, to=np.int64)
            indices = op.Add(op.Min(op.Max(indices, -size - 1), size), size + 1)
        rows = op.Gather(eye, indices)
        if axis in (-1, rank):
            return rows
        order = list(range(rank))
        order.insert(axis % (rank + 1), rank)
        return op.Transpose(rows, perm=order)


def within(indices, size):
    """Whether an ArgMax over at most `size` elements makes the indices."""
    maker = indices.ir.producer()
    if maker is None or maker.op_type not in ("ArgMax", "ArgMin") or maker.domain or maker.inputs[0] is None:
        return False
    shape, axis = maker.inputs[0].shape, maker.attributes.get("axis")
    length = None if shape is None else shape[0 if axis is None else axis.as_int()]
    return isinstance(length, int) and length <= size
