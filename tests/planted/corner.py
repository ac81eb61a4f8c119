"""Rewrites that are wrong in a corner only; site verification must catch every one, and name the tensor.

The corner stands in each case's name. Most of them give the right result on one set of normal values
of one size, which is all that other tools look at.
"""

from __future__ import annotations

import numpy as np

from planted.corner_values import VALUES
from planted.pairs import Case, floats, ints, scalar
from planted.parts import AXES, BIG, CONV, HEAD, IMAGE, MAP, PLAIN, SPECK, STEM, conv, stale

LAYERS = [
    # ---- convolutions
    conv("one-weight-off-by-1e-3", "r = Relu (c)", "y", changed=stale("w2", (1, 2, 0, 1), 1.01)),
    conv("stale-bias", "r = Relu (c)", "y", changed={"b2": floats(0.3, -0.2, 0.1, 0.0)}),
    conv("nan-becomes-0", "p = Greater (c, zero) r = Where (p, c, zero)"),
    conv("minus-inf-becomes-nan", "p = Greater (c, zero) f = Cast <to = 1> (p) r = Mul (c, f)"),
    conv("infinity-becomes-finite", "r = Clip (c, zero)"),  # whose upper bound is the largest float by default
    conv("leak-1e-4", "r = LeakyRelu <alpha = 0.0001> (c)"),
    Case(
        "pad-off-by-one",
        "convolutions",
        MAP,
        STEM + "r = Relu (c)" + HEAD,
        STEM + "r = Relu (c) y = Conv <pads = [2, 1, 0, 1]> (r, w2, b2)",
        "y",
        CONV,
    ),
    Case(
        "dilation",
        "convolutions",
        MAP,
        STEM + "r = Relu (c) y = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (r, w2, b2)",
        STEM + "r = Relu (c) y = Conv <pads = [1, 1, 2, 2], dilations = [1, 2]> (r, w2, b2)",
        "y",
        CONV,
    ),
    Case(
        "first-sample-for-all",
        "convolutions",
        MAP,
        STEM + "r = Relu (c)" + HEAD,
        STEM + "d = Slice (c, i0, i1, i0) q = Relu (d) s = Shape (c) r = Expand (q, s)" + HEAD,
        "r",
        CONV,
        {"i0": ints(0), "i1": ints(1)},
    ),
    Case(
        "odd-width",
        "convolutions",
        MAP,
        STEM + "r = Relu (c)" + HEAD,
        STEM + "s = Shape <start = 3> (c) m = Mod (s, i2) f = Cast <to = 1> (m) k = Mul (f, tiny) g = Add (k, one)"
        " q = Relu (c) r = Mul (q, g)" + HEAD,
        "r",
        CONV,
        {"i2": ints(2), "tiny": scalar(0.001), "one": scalar(1)},
    ),
    # ---- pools and layout
    Case(
        "padding-counts",
        "pools",
        IMAGE,
        "a = Relu (x) y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (a)",
        "a = Relu (x) y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2],"
        " count_include_pad = 1> (a)",
    ),
    Case(
        "ceil-mode-at-odd-sizes",
        "pools",
        IMAGE,
        "a = Relu (x) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (a)",
        "a = Relu (x) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)",
    ),
    Case(
        "max-pool-pads-with-0",
        "pools",
        IMAGE,
        "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)",
        "p = Pad (x, pads) y = MaxPool <kernel_shape = [3, 3]> (p)",
        constants={"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
    Case(
        "height-for-width",
        "layout",
        IMAGE,
        "a = Relu (x) y = Transpose <perm = [0, 2, 3, 1]> (a)",
        "a = Relu (x) y = Transpose <perm = [0, 3, 2, 1]> (a)",
    ),
    Case(
        "depth-to-space-order",
        "layout",
        "(float[n, 8, h, w] x) => (float[n, 2, oh, ow] y)",
        'y = DepthToSpace <blocksize = 2, mode = "DCR"> (x)',
        'y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)',
    ),
    Case(
        "mean-of-one-size",
        "layout",
        IMAGE,
        "y = ReduceMean <axes = [2, 3]> (x)",
        "s = ReduceSum (x, hw) y = Mul (s, k)",
        constants=AXES | {"k": scalar(1 / 64**2)},
    ),
    Case(
        "batch-fixed",
        "layout",
        "(float[n, 4, 6] x) => (float[m, 24] y)",
        "y = Reshape (x, flat)",
        "y = Reshape (x, one)",
        constants={"flat": ints(0, -1), "one": ints(1, -1)},
    ),
    Case(
        "slice-ends-at-256",
        "layout",
        "(float[n, c] x) => (float[n, d] y)",
        "y = Slice (x, two, far, one)",
        "y = Slice (x, two, near, one)",
        constants={"two": ints(2), "one": ints(1), "far": ints(2**31), "near": ints(64)},
    ),
    Case(
        "edge-for-reflect",
        "layout",
        IMAGE,
        'y = Pad <mode = "reflect"> (x, pads)',
        'y = Pad <mode = "edge"> (x, pads)',
        constants={"pads": ints(0, 0, 2, 2, 0, 0, 2, 2)},
    ),
    Case(
        "concat-order",
        "layout",
        "(float[n, c] x) => (float[n, d] y)",
        "a = Relu (x) b = Tanh (x) y = Concat <axis = 1> (a, b)",
        "a = Relu (x) b = Tanh (x) y = Concat <axis = 1> (b, a)",
    ),
    Case(
        "cumsum-exclusive",
        "layout",
        PLAIN,
        "y = CumSum (x, one)",
        "y = CumSum <exclusive = 1> (x, one)",
        constants={"one": np.asarray(1, np.int64)},
    ),
    # ---- classifier
    Case(
        "softmax-12-against-13",
        "classifier",
        "(float[n, 4, 6] x) => (float[n, 4, 6] y)",
        "a = Tanh (x) y = Softmax <axis = 1> (a)",
        "a = Tanh (x) y = Softmax <axis = 1> (a)",
        opsets=(12, 13),
    ),
    Case(
        "softmax-without-maximum",
        "classifier",
        PLAIN,
        "y = Softmax <axis = -1> (x)",
        "e = Exp (x) s = ReduceSum (e, last) y = Div (e, s)",
        constants=AXES,
    ),
    Case(
        "log-of-softmax",
        "classifier",
        PLAIN,
        "y = LogSoftmax <axis = -1> (x)",
        "s = Softmax <axis = -1> (x) y = Log (s)",
    ),
    Case(
        "last-of-ties",
        "classifier",
        "(float[n, c] x) => (int64[n] y)",
        "a = Relu (x) y = ArgMax <axis = 1, keepdims = 0> (a)",
        "a = Relu (x) y = ArgMax <axis = 1, keepdims = 0, select_last_index = 1> (a)",
    ),
    Case(
        "swapped-outputs",
        "classifier",
        "(float[n, c] x) => (float[n, c] y, float[n, c] z)",
        "y = Relu (x) z = Tanh (x)",
        "z = Relu (x) y = Tanh (x)",
    ),
    Case(
        "rounded-to-float16",
        "classifier",
        PLAIN,
        "a = Tanh (x) y = Neg (a)",
        "a = Tanh (x) h = Cast <to = 10> (a) f = Cast <to = 1> (h) y = Neg (f)",
    ),
    Case(
        "one-element-of-ten-thousand",
        "classifier",
        "(float[n, 100] x) => (float[n, 100] y)",
        "a = Relu (x) y = MatMul (a, mask)",
        "a = Relu (x) y = MatMul (a, mask)",
        constants=BIG,
        changed=SPECK,
    ),
    Case(
        "top-2-sorted-by-index",
        "classifier",
        "(float[n, 9] x) => (float[n, 2] y)",
        "y, i = TopK (x, two)",
        "y, i = TopK <largest = 1, sorted = 1, axis = 0> (x, two)",
        constants={"two": ints(2)},
    ),
    # ---- normalisations
    Case(
        "epsilon-on-small-values",
        "normalisation",
        PLAIN,
        "y = LayerNormalization (x, g)",
        "y = LayerNormalization <epsilon = 0.0000001> (x, g)",
        constants={"g": floats(1)},
    ),
    Case(
        "unbiased-variance",
        "normalisation",
        "(float[n, 4, t] x) => (float[n, 4, t] y)",
        "y = InstanceNormalization (x, g, b)",
        "m = ReduceMean <axes = [2]> (x) d = Sub (x, m) q = Mul (d, d) s = ReduceSum (q, two) z = Shape <start = 2> (x)"
        " f = Cast <to = 1> (z) k = Sub (f, one) v = Div (s, k) e = Add (v, eps) r = Sqrt (e) y = Div (d, r)",
        constants={
            "g": np.ones(4, np.float32),
            "b": np.zeros(4, np.float32),
            "two": ints(2),
            "one": floats(1),
            "eps": scalar(1e-5),
        },
    ),
    Case(
        "nan-for-a-zero-row",
        "normalisation",
        PLAIN,
        "q = Mul (x, x) s = ReduceSum (q, last) r = Sqrt (s) m = Max (r, tiny) y = Div (x, m)",
        "q = Mul (x, x) s = ReduceSum (q, last) r = Sqrt (s) y = Div (x, r)",
        constants=AXES | {"tiny": scalar(1e-12)},
    ),
]

WRONG = LAYERS + VALUES
