"""A model that holds what the planted faults need: convolutions, pools, a sampler, two heads."""

from __future__ import annotations

import onnx

from fixtures._text import drawn, model

TEXT = """
<ir_version: 8, opset_import: ["" : 16]>
net (float[batch, 3, height, width] x) => (float[batch, 8, h, w] map, float[batch, 8] score, int64[batch] best)
<float[4] scales = {1.0, 1.0, 2.0, 2.0}, float[0] none = {}, float lowest = {0.0}, float highest = {6.0},
 float gain = {0.7}, float[2, 3] turn = {1.2, 0.1, 0.05, -0.1, 1.3, 0.0}, int64[1] last = {-1},
 int64[1] zero = {0}, int64[1] one = {1}, int64[2] hw = {2, 3}, float one_f = {1.0},
 int64[3] pairs = {0, -1, 2}, int64[2] parts = {4, 4}>
{
    [conv1] c1 = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    [norm1] n1 = BatchNormalization <epsilon = 0.00001> (c1, scale1, shift1, mean1, var1)
    [swish1] s1 = HardSwish (n1)
    [pool1] p1 = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (s1)
    [conv2] c2 = Conv <pads = [1, 1, 1, 1]> (p1, w2, b2)
    [clip2] k2 = Clip (c2, lowest, highest)
    [split2] left, right = Split <axis = 1> (k2, parts)
    [gate2] g2 = Sigmoid (left)
    [join2] j2 = Concat <axis = 1> (g2, right)
    [up2] u2 = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (j2, none, scales)
    [conv3] c3 = Conv <pads = [1, 1, 1, 1]> (u2, w3, b3)
    [relu3] r3 = Relu (c3)
    [shape3] shape = Shape (r3)
    [size3] size = Gather (shape, hw)
    [rows] size_f = Cast <to = 1> (size)
    [grid3] grid0 = Transpose <perm = [0, 2, 3, 1]> (r3)
    [grid4] grid1 = MatMul (grid0, w4)
    [sample] sampled = GridSample <mode = "bilinear", padding_mode = "zeros", align_corners = 0> (r3, grid1)
    [scale] map = Mul (sampled, gain)
    [mean] pooled = ReduceMean <axes = [2, 3], keepdims = 0> (map)
    [flat] flat = Reshape (pooled, flat_shape)
    [dense] logits = Gemm <transB = 1> (flat, w5, b5)
    [soft] score = Softmax <axis = -1> (logits)
    [arg] best = ArgMax <axis = 1, keepdims = 0> (logits)
}
"""

SHAPES = {
    "w1": (8, 3, 3, 3),
    "b1": (8,),
    "scale1": (8,),
    "shift1": (8,),
    "mean1": (8,),
    "w2": (8, 8, 3, 3),
    "b2": (8,),
    "w3": (8, 8, 3, 3),
    "b3": (8,),
    "w4": (8, 2),
    "w5": (8, 8),
    "b5": (8,),
}


def build() -> onnx.ModelProto:
    """The model; its weights are seeded."""
    import numpy as np

    weights = drawn(7, SHAPES)
    weights["scale1"] += 1
    weights["var1"] = np.abs(weights["mean1"]) + np.float32(0.002)  # small: the epsilon counts
    weights["flat_shape"] = np.array([0, -1])
    return model(TEXT, weights)
