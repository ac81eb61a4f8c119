"""Spell ScatterND with constant indices by a MatMul, for compilers without it.

    x, u ── ScatterND(indices) ── y     =>     x ── Mul(keep) ──────────┐
                                               u ── MatMul(place, ·) ── Add ── y

``keep`` is 0 where something is written, else 1; ``place`` holds a 1 for each row that is written. With
``reduction=add`` nothing is taken away first; ``mul``, ``max`` and ``min`` combine x with what is placed, which is 1,
or the lowest or highest number, where nothing is written. Rows that are written twice take turns.

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
        depth = indices.shape[-1]
        if x.shape is None or not all(isinstance(dim, int) for dim in x.shape):
            return op.skip(f"lengths of {x.name!r} are free")
        counted = np.array(x.shape[:depth])
        rows, rest = math.prod(x.shape[:depth]), math.prod(x.shape[depth:])
        flat = np.ravel_multi_index(tuple((indices.reshape(-1, depth) % counted).T), x.shape[:depth])
        if reduction == "none" and len(set(flat)) < len(flat):
            return op.skip("it writes one row twice")
        kept, written = op.Reshape(x, [rows, rest]), op.Reshape(updates, [len(flat), rest])
        for turn in turns(flat) if reduction not in ("none", "add") else [np.arange(len(flat))]:
            place = np.zeros((rows, len(flat)), x.dtype)
            place[flat[turn], turn] = 1
            keep = (1 - place.sum(1, keepdims=True)).astype(x.dtype)
            kept = combined(op, reduction, kept, op.MatMul(place, written), keep)
        return op.Reshape(kept, list(x.shape))


def turns(flat):
    """Positions of the updates, so that in one turn no row is written twice."""
    seen: dict[int, int] = {}
    found: list[list[int]] = []
    for position, row in enumerate(flat.tolist()):
        turn = seen[row] = seen.get(row, -1) + 1
        found += [[]] if turn == len(found) else []
        found[turn].append(position)
    return [np.array(turn) for turn in found]


def combined(op, reduction, x, placed, keep):
    """`x` with what is placed; `keep` is 1 where nothing is."""
    if reduction == "add":
        return op.Add(x, placed)
    if reduction == "none":
        return op.Add(op.Mul(x, keep), placed)
    if reduction == "mul":
        return op.Mul(x, op.Add(placed, keep))
    bounds = np.finfo(x.dtype)
    idle = bounds.min if reduction == "max" else bounds.max
    return getattr(op, reduction.capitalize())(x, op.Add(placed, keep * idle))
