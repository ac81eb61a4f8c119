"""Move pixels between space and depth by convolutions of zeros and ones.

    x ── SpaceToDepth(b) ── y              =>    x ── Conv(b x b, stride b) ── y
    x ── DepthToSpace(DCR) ── y            =>    x ── Conv(1 x 1) ── DepthToSpace(CRD) ── y
    x ── Slice(of every s-th pixel) ── y   =>    x ── Slice ── Conv(1 x 1, a channel each, stride s) ── y

Why: ncnn is wrong about SpaceToDepth, and has neither DCR nor a Slice with steps, which YOLO's Focus is made of.
Numbers: each result is one element times 1; the others are times 0, so an infinity or NaN spreads over the
channels: the promise is for finite images.
Refuses: nothing. A place is left where the number of channels is free, or the elements are no floats.
"""

import numpy as np

from surgery import Close, Pass

END = np.iinfo(np.int64).max


class SpaceDepthConv(Pass):
    operator = ("SpaceToDepth", "DepthToSpace", "Slice")
    contract = Close(rtol=1e-6, atol=0.0)
    domain = {"input": (-1e30, 1e30), "data": (-1e30, 1e30)}

    def rewrite(self, op, node):
        x = node.inputs[0]
        if x.shape is None or x.dtype is None or len(x.shape) != 4 or not isinstance(x.shape[1], int):
            return op.skip(f"{x.name!r} is no image of known channels")
        if x.dtype.kind != "f":
            return op.skip(f"{x.name!r} is of type {x.dtype}")
        if node.op_type == "Slice":
            return strided(op, node, x)
        channels, block = x.shape[1], node.attr("blocksize")
        if node.op_type == "SpaceToDepth":
            # Depth after is (row, column, channel) of the block.
            kernel = np.eye(block * block * channels).reshape(-1, block, block, channels).transpose(0, 3, 1, 2)
            return op.Conv(x, kernel.astype(x.dtype), kernel_shape=[block, block], strides=[block, block])
        if node.attr("mode") == "CRD":
            return op.skip("it is in the order CRD already")
        order = np.arange(channels).reshape(block * block, -1).T.ravel()
        kernel = np.eye(channels)[order][:, :, None, None].astype(x.dtype)
        return op.DepthToSpace(op.Conv(x, kernel, kernel_shape=[1, 1]), blocksize=block, mode="CRD")


def strided(op, node, x):
    """A Slice whose steps over rows and columns are taken by a convolution."""
    parts = [node.constant(i) for i in range(1, 5)]
    if op.opset < 10 or len(node.inputs) < 5 or any(part is None for part in parts):
        return op.skip("it has no constant steps")
    if not all(isinstance(size, int) for size in x.shape[2:]):
        return op.skip("rows and columns may be empty, which a convolution refuses")
    starts, ends, axes, steps = parts
    axes = axes % 4
    if (steps < 1).any() or (steps == 1).all() or (axes[steps > 1] < 2).any():
        return op.skip("its steps are not over rows and columns")
    strides = [1, 1]
    for axis, step in zip(axes, steps, strict=True):
        if step > 1:
            strides[axis - 2] = int(step)
    plain = op.Slice(x, starts, ends, axes)
    ones = np.ones((x.shape[1], 1, 1, 1), x.dtype)
    return op.Conv(plain, ones, kernel_shape=[1, 1], strides=strides, group=x.shape[1])
