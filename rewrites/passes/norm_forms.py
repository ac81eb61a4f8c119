"""Spell the seldom forms of normalisation by the common ones.

    LayerNormalization over several axes    =>    Reshape, LayerNormalization over the last, Reshape
    LayerNormalization without a bias       =>    with a bias of zeros
    LayerNormalization with a scale of 1    =>    with one for every element that it works over
    GroupNormalization                      =>    Reshape, InstanceNormalization, Reshape, Mul, Add
    InstanceNormalization of 3 axes         =>    Unsqueeze, InstanceNormalization, Squeeze
    LpNormalization                         =>    x / (sum |x|^p)^1/p, and 0 where that is 0
    MeanVarianceNormalization               =>    d / sqrt(mean d²), where d = x - mean
    RMSNormalization                        =>    x / sqrt(mean x² + epsilon) * scale

``only=LayerNormalization;LpNormalization`` names those to take; all by default.

Why: ncnn is wrong about or refuses each of these but RMSNormalization; MNN 3.6.1 refuses GroupNormalization-21
and RMSNormalization-23, and reads a scale of 1 beyond its memory; older opsets, and so ATC, lack most of them.
Numbers: the function bodies of the ONNX operator specification; sums are taken in another
order. Of MeanVarianceNormalization the standard adds 1e-9 to the deviation; ONNX Runtime 1.31 does not, nor does this.
Refuses: nothing. A place is left whose second output is read, or whose lengths are needed and free.
"""

import math

import numpy as np

from surgery import Close, Pass

ALL = (
    *("LayerNormalization", "GroupNormalization", "InstanceNormalization", "LpNormalization"),
    *("MeanVarianceNormalization", "RMSNormalization"),
)


class NormForms(Pass):
    operator = ALL
    contract = Close(rtol=1e-4, atol=1e-5)
    domain = {"X": (-1e15, 1e15), "input": (-1e15, 1e15)}
    only: list[str] = []  # operators to take; none named takes all

    def rewrite(self, op, node):
        if self.only and node.op_type not in self.only:
            return op.skip("it was not asked for")
        x = node.inputs[0]
        if x.shape is None or x.dtype is None:
            return op.skip(f"the rank or type of {x.name!r} is unknown")
        if any(value.ir.uses() or value.ir.is_graph_output() for value in node.outputs[1:]):
            return op.skip("its mean or deviation is read")
        return FORMS[node.op_type](op, node, x)


def layer_norm(op, node, x):
    """Over the last axis, with a bias."""
    rank = len(x.shape)
    axis = node.attr("axis") % rank
    scale, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    sizes = x.shape[axis:]
    whole = all(value is None or value.shape is None or value.shape == sizes for value in (scale, bias))
    if axis == rank - 1 and axis and bias is not None and whole:
        return op.skip("its form is plain")
    if not all(isinstance(size, int) for size in sizes):
        return op.skip("the lengths that it works over are free")
    count, known = math.prod(sizes), scale.constant
    if known is None or (bias is not None and bias.constant is None):
        return op.skip("its scale or bias is not constant")
    scale = np.broadcast_to(known, sizes).reshape(count)
    bias = np.zeros_like(scale) if bias is None else np.broadcast_to(bias.constant, sizes).reshape(count)
    how = {name: node.attr(name) for name in ("epsilon", "stash_type")}
    if axis and axis == rank - 1:
        return op.LayerNormalization(x, scale, bias, axis=-1, **how)
    flat = op.Reshape(x, [0] * axis + [count] if axis else [1, count])
    return op.Reshape(op.LayerNormalization(flat, scale, bias, axis=-1, **how), op.Shape(x))


def group_norm(op, node, x):
    """Groups as the channels of an InstanceNormalization."""
    channels, groups = x.shape[1], node.attr("num_groups")
    if not isinstance(channels, int):
        return op.skip("the number of channels is free")
    flat = op.Reshape(x, [0, groups, -1, 1])
    one, none = np.ones(groups, x.dtype), np.zeros(groups, x.dtype)
    even = op.Reshape(op.InstanceNormalization(flat, one, none, epsilon=node.attr("epsilon")), op.Shape(x))
    scale, bias = (per_channel(op, value, channels, groups, len(x.shape)) for value in node.inputs[1:3])
    if scale is None or bias is None:
        return op.skip("its scale or bias is not constant")
    return op.Add(op.Mul(even, scale), bias)


def per_channel(op, value, channels, groups, rank):
    """A scale, of each channel or (opset 18) of each group, as it is multiplied; None if not constant."""
    known = value.constant
    if known is None:
        return None
    if len(known) == groups:
        known = np.repeat(known, channels // groups)
    return op.constant(known.reshape(channels, *[1] * (rank - 2)))


def instance_norm(op, node, x):
    """With a fourth axis of length 1."""
    if len(x.shape) != 3:
        return op.skip("its form is plain")
    wide = op.InstanceNormalization(op.Unsqueeze(x, [3]), *node.inputs[1:], epsilon=node.attr("epsilon"))
    return op.Squeeze(wide, [3])


def lp_norm(op, node, x):
    """Divided by the norm, written out."""
    axis, p = node.attr("axis"), node.attr("p")
    if p == 1:
        norm = op.ReduceSum(op.Abs(x), [axis], keepdims=1)
    else:
        norm = op.ReduceL2(x, [axis], keepdims=1)
    # Where the norm is zero, so is the result: what is divided is zero, too.
    return op.Div(x, op.Add(norm, op.Sub(1.0, op.Sign(norm))))


def mean_variance(op, node, x):
    """In two steps, so that large means cost no digits."""
    axes = node.attr("axes") or [0, 2, 3]
    off = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    spread = op.Sqrt(op.ReduceMean(op.Mul(off, off), axes, keepdims=1))
    return op.Div(off, spread)


def rms_norm(op, node, x):
    """In float32, as the standard has it."""
    axes = list(range(node.attr("axis") % len(x.shape), len(x.shape)))
    wide = x if x.dtype == np.float32 else op.Cast(x, to=np.float32)
    mean = op.ReduceMean(op.Mul(wide, wide), axes, keepdims=1)
    even = op.Div(wide, op.Sqrt(op.Add(mean, float(node.attr("epsilon")))))
    return op.Mul(even if x.dtype == np.float32 else op.Cast(even, to=x.dtype), node.inputs[1])


FORMS = dict(zip(ALL, (layer_norm, group_norm, instance_norm, lp_norm, mean_variance, rms_norm), strict=True))
