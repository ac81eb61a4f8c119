"""Read a few constant indices by Slice and Concat.

    x, [2, 0] ── Gather(axis) ── y     =>     x ─┬─ Slice [2:3] ─┬─ Concat(axis) ── y
                                                 └─ Slice [0:1] ─┘
    x, [[0, 1], [2, 3]] ── GatherND ── y      the same, by rows

Neighbours are read by one Slice.

Why: ncnn gives a Gather of several indices another shape, and lacks GatherND; RKNN lacks GatherND.
Numbers: elements are moved; nothing is computed.
Refuses: nothing. A place is left whose indices are not constant, more than ``limit``, or of another rank than one
(two for GatherND), a negative one of a free length, or data that is constant itself.
"""

import numpy as np

from surgery import Exact, Pass

END = np.iinfo(np.int64).max


class GatherSlices(Pass):
    operator = ("Gather", "GatherND")
    contract = Exact()
    limit: int = 64  # slices

    def rewrite(self, op, node):
        x, indices = node.inputs[0], node.constant(1)
        if indices is None or x.constant is not None or x.shape is None:
            return op.skip("its indices are not constant, or its data is")
        if node.op_type == "GatherND":
            return rows(op, node, x, indices, self.limit)
        axis = node.attr("axis") % len(x.shape)
        if indices.ndim != 1 or indices.size < 2:
            return op.skip("it has no row of indices")
        length = x.shape[axis]
        if not isinstance(length, int) and (indices < 0).any():
            return op.skip("a negative index of a free length")
        plain = indices % length if isinstance(length, int) else indices
        runs = np.split(plain, np.flatnonzero(np.diff(plain) != 1) + 1)
        if len(runs) > self.limit:
            return op.skip(f"it takes {len(runs)} slices")
        parts = [op.Slice(x, [int(run[0])], [int(run[-1]) + 1], [axis]) for run in runs]
        return op.Concat(*parts, axis=axis) if len(parts) > 1 else parts[0]


def rows(op, node, x, indices, limit):
    """Every tuple of indices is a Slice."""
    depth = indices.shape[-1]
    if indices.ndim != 2 or node.attr("batch_dims", 0) or len(indices) > limit or len(indices) < 1:
        return op.skip("its indices are not a few rows")
    sizes = x.shape[:depth]
    if not all(isinstance(size, int) for size in sizes):
        return op.skip(f"lengths of {x.name!r} are free")
    axes, parts = np.arange(depth), []
    for row in indices % np.array(sizes):
        part = op.Slice(x, row, row + 1, axes)
        part = op.Squeeze(part, axes[1:]) if depth > 1 else part
        parts.append(part)
    return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]
