"""Quantise and dequantise in floats.

    x ── QuantizeLinear ── DequantizeLinear ── y    =>    x ── Div ── Round ── Max ── Min ── Mul ── y
    w (stored, int8) ── DequantizeLinear ── y       =>    a constant

The bounds are those of the integers, less the zero point.

Why: MNN 3.6.1 rounds otherwise or refuses integers inside a graph; ncnn has neither operator, and floats lose
nothing but size.
Numbers: x / scale is rounded to even and clipped as the standard says (ONNX operator specification,
QuantizeLinear-13); the zero point is an integer, so it may be added after rounding, and taken off again.
Refuses: nothing. A place is left whose scale or zero point is not constant, that has blocks, or whose quantised
values are read by others.
"""

import numpy as np

from surgery import Close, Pass


class QdqArithmetic(Pass):
    operator = "DequantizeLinear"
    contract = Close(rtol=1e-6, atol=1e-6)
    domain = {"x": (-1e6, 1e6)}

    def rewrite(self, op, node):
        scale, zero = node.constant(1), node.constant(2)
        quantised = node.inputs[0]
        if scale is None or (zero is None and len(node.inputs) > 2) or node.attr("block_size", 0):
            return op.skip("its scale or zero point is not constant, or of blocks")
        if quantised.shape is None or quantised.dtype is None or quantised.dtype.kind not in "iu":
            return op.skip(f"the rank of {quantised.name!r} is unknown, or it has no integers")
        axis = node.attr("axis", 1)
        shape = [1] * len(quantised.shape)
        if scale.size > 1:
            shape[axis] = scale.size
        scale = scale.reshape(shape)
        zero = np.zeros(shape, np.int64) if zero is None else zero.astype(np.int64).reshape(shape)
        known = quantised.constant
        if known is not None:
            return op.constant(((known.astype(np.int64) - zero) * scale.astype(np.float64)).astype(scale.dtype))
        maker = quantised.ir.producer()
        if maker is None or maker.op_type != "QuantizeLinear" or maker.domain:
            return op.skip("its integers come from elsewhere")
        if [value.name for value in maker.inputs[1:]] != [value.name for value in node.ir.inputs[1:]]:
            return op.skip("it is quantised by another scale")
        x = maker.inputs[0]
        bounds = np.iinfo(quantised.dtype)
        low, high = ((bound - zero).astype(scale.dtype) for bound in (bounds.min, bounds.max))
        steps = op.Round(op.Div(x, scale))
        return op.Mul(op.Min(op.Max(steps, low), high), scale)
