"""Spell ScatterND with constant indices by a MatMul, for compilers without it.

    x, u ── ScatterND(indices) ── y     =>     x ── Mul(keep) ──────────┐
                                               u ── MatMul(place, ·) ── Add ── y

``keep`` is 0 where something is written, else 1; ``place`` holds a 1 for each row that is written. With
``reduction=add`` nothing is taken away first.

Why: MNN 3.6.1 writes the first element of a row only and ignores ``reduction``; ncnn and RKNN lack the operator.
Numbers: each result is one element times 1, plus zeros: equal for finite values. An infinity that is
overwritten leaves a NaN, so the promise is for finite ones.
Refuses: nothing. A place is left where indices are not constant, write one row twice, or lengths are free.
"""

import math

import numpy as np

from surgery import Close, Pass


class ScatterMatmul(Pass):
    operator = "ScatterND"
    contract = Close(rtol=1e-6, atol=0.0)
    domain = {"data": (-1e30, 1e30), "updates": (-1e30, 1e30)}

    def rewrite(self, op, node):
        x, updates = node.inputs[0], node.inputs[2]
        indices, reduction = node.constant(1), node.attr("reduction", "none")
        if indices is None or indices.size == 0:
            return op.skip("its indices are not constant")
        if x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        if reduction not in ("none", "add"):
            return op.skip(f"its reduction is {reduction}")
        depth = indices.shape[-1]
        if x.shape is None or not all(isinstance(dim, int) for dim in x.shape):
            return op.skip(f"lengths of {x.name!r} are free")
        counted = np.array(x.shape[:depth])
        rows, rest = math.prod(x.shape[:depth]), math.prod(x.shape[depth:])
        flat = np.ravel_multi_index(tuple((indices.reshape(-1, depth) % counted).T), x.shape[:depth])
        if reduction == "none" and len(set(flat)) < len(flat):
            return op.skip("it writes one row twice")
        place = (np.arange(rows)[:, None] == flat).astype(x.dtype)
        keep = np.ones((rows, 1), x.dtype) if reduction == "add" else 1 - place.sum(1, keepdims=True)
        written = op.MatMul(place, op.Reshape(updates, [len(flat), rest]))
        kept = op.Reshape(x, [rows, rest])
        if reduction == "none":
            kept = op.Mul(kept, keep.astype(x.dtype))
        return op.Reshape(op.Add(kept, written), list(x.shape))
