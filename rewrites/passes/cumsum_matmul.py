"""Sum along an axis by a triangle of ones.

    x ── CumSum(axis) ── y     =>     x ── MatMul(triangle) ── y

Axes other than the last are brought there by Transpose; ``exclusive`` leaves the diagonal out, ``reverse`` turns
the triangle round.

Why: ncnn and ATC's older versions lack CumSum; a MatMul is known everywhere.
Numbers: the same sums with zeros between, so an infinity spreads along its row: the promise is for finite values.
Refuses: nothing. A place is left whose axis is not constant, whose length is free or above ``limit``, or of integers.
"""

import numpy as np

from surgery import Close, Pass


class CumsumMatmul(Pass):
    operator = "CumSum"
    contract = Close(rtol=1e-5, atol=1e-5)
    domain = {"x": (-1e15, 1e15)}
    limit: int = 4096  # the longest axis; the triangle has this many elements squared

    def rewrite(self, op, node):
        x, axis = node.inputs[0], node.constant(1)
        if x.shape is None or x.dtype is None or x.dtype.kind != "f" or axis is None:
            return op.skip(f"{x.name!r} has no floats of known rank, or the axis is not constant")
        rank = len(x.shape)
        axis = int(axis.reshape(-1)[0]) % rank
        length = x.shape[axis]
        if not isinstance(length, int) or length > self.limit:
            return op.skip(f"the length of its axis is {length or 'free'}")
        triangle = np.triu(np.ones((length, length), x.dtype), int(node.attr("exclusive")))
        triangle = np.ascontiguousarray(triangle.T if node.attr("reverse") else triangle)
        if axis == rank - 1:
            return op.MatMul(x, triangle)
        order = [*range(rank)]
        order[axis], order[-1] = order[-1], order[axis]
        return op.Transpose(op.MatMul(op.Transpose(x, perm=order), triangle), perm=order)
