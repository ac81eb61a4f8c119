"""Make the grid of an affine transform by a MatMul.

    theta, sizes ── AffineGrid ── grid     =>     points [H*W, 3] ── MatMul(thetaᵀ) ── Reshape ── grid

``points`` is the constant grid of the identity, with a 1 behind each.

Why: MNN 3.6.1, ncnn and TensorRT's older versions lack AffineGrid; spatial transformers are made of it.
Numbers: by definition (ONNX operator specification, AffineGrid-20), summed by MatMul in its own order.
Refuses: nothing. A place is left whose sizes are not constant.
"""

import math

import numpy as np

from surgery import Close, Pass


class AffineGridMatmul(Pass):
    operator = "AffineGrid"
    contract = Close(rtol=1e-5, atol=1e-5)
    domain = {"theta": (-1e6, 1e6)}

    def rewrite(self, op, node):
        theta, sizes = node.inputs[0], node.constant(1)
        if sizes is None or theta.dtype is None:
            return op.skip("its sizes are not constant")
        lengths = [int(size) for size in sizes[2:]]
        corners = node.attr("align_corners")
        axes = [np.linspace(-1, 1, n) if corners else (np.arange(n) * 2 + 1) / n - 1 for n in lengths]
        if corners:
            axes = [axis if len(axis) > 1 else np.zeros(1) - 1 for axis in axes]
        # The last coordinate of a point is its row, the first its column.
        mesh = np.meshgrid(*axes, indexing="ij")[::-1]
        points = np.stack([*mesh, np.ones_like(mesh[0])], -1).reshape(math.prod(lengths), -1).astype(theta.dtype)
        grid = op.MatMul(points, op.Transpose(theta, perm=[0, 2, 1]))
        return op.Reshape(grid, [int(sizes[0]), *lengths, len(lengths)])
