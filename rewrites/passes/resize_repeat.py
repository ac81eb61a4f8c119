"""Say nearest-neighbour Resize at whole scales in the one way that every compiler has.

    x ── Resize(nearest, any mode) ── y    =>    x ── Resize(nearest, asymmetric, floor) ── y

With ``form=ceil`` it becomes half_pixel with round_prefer_ceil, where at whole scales nothing lies half way.
With ``form=expand`` no Resize is left at all:

    x ── Reshape [N,C,H,1,W,1] ── Expand ── Reshape ── y

Why: at a whole scale most modes repeat each element; ncnn has only asymmetric with floor (half_pixel with
round_prefer_floor, torch's export, is the same at scale 2), and MNN 3.6.1 gets ceil wrong. CANN documents
round_prefer_ceil alone from 8.3; without Resize lengths must be known, with ``form=ceil`` they need not.
Numbers: elements are moved; nothing is computed.
Refuses: nothing. A place is left where a scale is not whole, the sizes are not constant, or the mode shifts
elements (ceil, for one); `resize-matmul` takes these.
"""

from typing import Literal

import numpy as np

from surgery import Exact, Pass

FORMS = {
    "asymmetric": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "ceil": {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
}


class ResizeRepeat(Pass):
    operator = "Resize"
    contract = Exact()
    form: Literal["asymmetric", "ceil", "expand"] = "asymmetric"  # what it becomes

    def rewrite(self, op, node):
        x = node.inputs[0]
        if node.attr("mode") != "nearest" or op.opset < 11 or x.shape is None:
            return op.skip("it is not nearest, below opset 11, or of unknown rank")
        plain = FORMS.get(self.form, {})
        if plain and all(node.attr(name) == value for name, value in plain.items()):
            return op.skip("it is spelt so already")
        scales = whole(node, x)
        if scales is None:
            return op.skip("the scales are not constant whole numbers")
        how = {name: node.attr(name) for name in FORMS["asymmetric"]}
        if not all(repeats(op, how, scale) for scale in set(scales)):
            return op.skip("this mode shifts elements")
        if plain:
            return op.Resize(x, None, np.array(scales, np.float32), mode="nearest", **plain)
        if not all(isinstance(dim, int) for dim in x.shape[1:]):
            return op.skip(f"the lengths of {x.name!r} are unknown")
        apart = [part for dim, s in zip(x.shape[1:], scales[1:], strict=True) for part in (dim, 1)]
        wide = [part for dim, s in zip(x.shape[1:], scales[1:], strict=True) for part in (dim, s)]
        if scales[0] != 1:
            return op.skip("it repeats the batch")
        tall = op.Expand(op.Reshape(x, [-1, *apart]), [1, *wide])
        return op.Reshape(tall, [-1, *(dim * s for dim, s in zip(x.shape[1:], scales[1:], strict=True))])


def whole(node, x):
    """The scale of every axis, if all are constant whole numbers."""
    rank = len(x.shape)
    axes = [axis % rank for axis in node.attr("axes") or range(rank)]
    scales, sizes = node.constant(2), node.constant(3)
    found = [1.0] * rank
    if scales is not None and scales.size == len(axes):
        for axis, scale in zip(axes, scales, strict=True):
            found[axis] = float(scale)
    elif sizes is not None and sizes.size == len(axes):
        for axis, size in zip(axes, sizes, strict=True):
            length = x.shape[axis]
            if not isinstance(length, int):
                return None
            found[axis] = size / length if length else 1.0
    else:
        return None
    return [int(s) for s in found] if all(s >= 1 and s == int(s) for s in found) else None


def repeats(op, how, scale):
    """Whether Resize at a whole scale repeats each element, seen on a row of nine."""
    row = op.constant(np.arange(9, dtype=np.float32).reshape(1, 1, 1, 9))
    seen = op.Resize(row, None, np.array([1, 1, 1, scale], np.float32), mode="nearest", **how).constant
    return seen is not None and np.array_equal(seen.ravel(), np.repeat(np.arange(9), scale))
