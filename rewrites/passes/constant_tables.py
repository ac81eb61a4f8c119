"""Compute windows, filter banks and identity matrices of known size.

    16 ── HannWindow ── y          =>    a constant
    x [4, 5] ── EyeLike ── y       =>    a constant

HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix, EyeLike, Range and ConstantOfShape; `cleanup` leaves them,
for they make the file larger.

Why: OpenVINO 2026.4.1 and MNN 3.6.1 lack some, ncnn lacks all but as what its converter computes itself.
Numbers: constants are computed by ONNX Runtime, with the kernels that would compute them.
Refuses: nothing. A place is left whose size is not known, or above ``limit`` elements.
"""

import math

import numpy as np

from surgery import Exact, Pass

TABLES = ("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "Range", "ConstantOfShape")


class ConstantTables(Pass):
    operator = (*TABLES, "EyeLike")
    contract = Exact()
    limit: int = 1 << 20  # elements of a table

    def rewrite(self, op, node):
        known = node.shape is not None and all(isinstance(d, int) for d in node.shape)
        if known and math.prod(node.shape) > self.limit:
            return op.skip(f"it has {math.prod(node.shape)} elements")
        if node.op_type == "EyeLike":
            shape, dtype = node.inputs[0].shape, node.dtype
            if shape is None or dtype is None or not all(isinstance(d, int) for d in shape):
                return op.skip("its size is not known")
            return op.constant(np.eye(shape[0], shape[1], k=node.attr("k")).astype(dtype))
        if any(value is not None and value.constant is None for value in node.inputs):
            return op.skip("its size is not known")
        attributes = {name: node.attr(name) for name in node.ir.attributes}
        made = getattr(op, node.op_type)(*node.inputs, **attributes)
        known = made.constant
        return op.skip("ONNX Runtime does not compute it") if known is None else op.constant(known)
