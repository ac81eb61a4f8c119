"""Rewrites that are right and look suspicious; site verification must refuse none of them."""

from __future__ import annotations

import numpy as np

from fixtures._text import drawn
from planted.pairs import Case, floats, ints, scalar
from planted.parts import AXES, CONV, HEAD, IMAGE, MAP, PLAIN, ROWS, SQUARE, STEM, conv
from planted.right_values import RIGHT_VALUES


def _folded(size: float) -> dict[str, np.ndarray]:
    """Weights of a Conv with a BatchNormalization folded into it, both given."""
    weights = drawn(3, CONV)
    draw = np.random.default_rng(5)
    gain, shift = (draw.uniform(0.5, 2, 4) * size).astype(np.float32), draw.standard_normal(4).astype(np.float32)
    mean, var = draw.standard_normal(4).astype(np.float32), draw.uniform(0.1, 2, 4).astype(np.float32)
    factor = gain.astype(np.float64) / np.sqrt(var.astype(np.float64) + 1e-5)
    return {
        "gain": gain, "shift": shift, "mean": mean, "var": var,
        "wf": (weights["w1"] * factor[:, None, None, None]).astype(np.float32),
        "bf": ((weights["b1"] - mean) * factor + shift).astype(np.float32),
    }  # fmt: skip


def _fold(name: str, size: float) -> Case:
    weights = {k: v for k, v in CONV.items() if k.endswith("1")}
    before = (
        "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) n = BatchNormalization (c, gain, shift, mean, var) y = Relu (n)"
    )
    # The folded Conv bears the name of the Conv that it was, whose values it no longer has.
    after = "c = Conv <pads = [1, 1, 1, 1]> (x, wf, bf) y = Relu (c)"
    return Case(name, "convolutions", MAP, before, after, "", weights, _folded(size))


def _layout(name: str, before: str, after: str, signature: str = IMAGE, **constants: np.ndarray) -> Case:
    return Case(name, "layout", signature, before, after, "", constants=AXES | constants)


RIGHT_LAYERS = [
    # ---- convolutions
    _fold("folded-batch-normalization", 1.0),
    _fold("folded-at-a-large-scale", 1e4),
    _fold("folded-at-a-small-scale", 1e-4),
    conv("relu-by-max", "r = Max (c, zero)"),
    conv("relu-by-clip", "r = Clip (c, zero, endless)"),
    conv("relu-by-parts", "n = Neg (c) a = Abs (c) s = Add (c, a) t = Identity (s) h = Max (c, zero) r = Identity (h)"),
    Case(
        "bias-by-add",
        "convolutions",
        MAP,
        STEM + "r = Relu (c)" + HEAD,
        "d = Conv <pads = [1, 1, 1, 1]> (x, w1) c = Add (d, bb) r = Relu (c)" + HEAD,
        "",
        CONV,
        {"bb": drawn(3, CONV)["b1"].reshape(4, 1, 1)},
    ),
    Case(
        "pads-of-its-own",
        "convolutions",
        MAP,
        STEM + "r = Relu (c)" + HEAD,
        "p = Pad (x, pads) c = Conv (p, w1, b1) r = Relu (c)" + HEAD,
        "",
        CONV,
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
    Case(
        "auto-pad-spelled-out",
        "convolutions",
        MAP,
        'c = Conv <auto_pad = "SAME_UPPER"> (x, w1, b1) y = Relu (c)',
        "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) y = Relu (c)",
        "",
        CONV,
    ),
    Case(
        "scale-into-weights",
        "convolutions",
        MAP,
        STEM + "r = Relu (c) q = Conv <pads = [1, 1, 1, 1]> (r, w2, b2) y = Mul (q, k)",
        STEM + "r = Relu (c) y = Conv <pads = [1, 1, 1, 1]> (r, w3, b3)",
        "",
        CONV,
        {"k": scalar(0.3), "w3": drawn(3, CONV)["w2"] * np.float32(0.3), "b3": drawn(3, CONV)["b2"] * np.float32(0.3)},
    ),
    Case(
        "identities-gone",
        "convolutions",
        MAP,
        STEM + "i = Identity (c) j = Identity (i) r = Relu (j)" + HEAD,
        STEM + "r = Relu (c)" + HEAD,
        "",
        CONV,
    ),
    Case(
        "shared-branch",
        "convolutions",
        MAP,
        STEM + "d = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Add (c, d)" + HEAD,
        STEM + "r = Add (c, c)" + HEAD,
        "",
        CONV,
    ),
    Case(
        "dead-branch",
        "convolutions",
        MAP,
        STEM + "u = Exp (c) v = Log (u) r = Relu (c)" + HEAD,
        STEM + "r = Relu (c)" + HEAD,
        "",
        CONV,
    ),
    # ---- layout
    _layout(
        "transposes-merged",
        "a = Transpose <perm = [0, 2, 3, 1]> (x) b = Relu (a) y = Transpose <perm = [0, 3, 1, 2]> (b)",
        "y = Relu (x)",
    ),
    _layout("mean-by-pool", "y = ReduceMean <axes = [2, 3]> (x)", "y = GlobalAveragePool (x)"),
    _layout(
        "sum-by-mean",
        "s = Shape <start = 2> (x) p = ReduceProd <keepdims = 0> (s)"
        " f = Cast <to = 1> (p) m = ReduceMean <axes = [2, 3]> (x) y = Mul (m, f)",
        "y = ReduceSum (x, hw)",
    ),
    _layout(
        "flatten-by-reshape",
        "y = Flatten <axis = 1> (x)",
        "s = Shape (x) b = Slice (s, first, second) t = Concat <axis = 0> (b, last) y = Reshape (x, t)",
        "(float[n, 4, 6] x) => (float[n, 24] y)",
    ),
    _layout(
        "shape-chain-folded",
        "s = Shape (x) b = Gather (s, first) t = Concat <axis = 0> (b, flat) y = Reshape (x, t)",
        "y = Reshape (x, zero_flat)",
        "(float[n, 4, 6] x) => (float[n, 24] y)",
        flat=ints(24),
        zero_flat=ints(0, 24),
    ),
    _layout(
        "declared-dims-folded",
        "s = Shape <start = 1> (x) p = ReduceProd <axes = [0]> (s) t = Concat <axis = 0> (last, p) y = Reshape (x, t)",
        "y = Reshape (x, flat)",
        "(float[n, 4, 6] x) => (float[n, 24] y)",
        flat=ints(-1, 24),
    ),
    _layout(
        "concat-flattened",
        "b = Concat <axis = 1> (x, x) y = Concat <axis = 1> (b, x)",
        "y = Concat <axis = 1> (x, x, x)",
        ROWS,
    ),
    _layout(
        "slice-of-slice",
        "a = Slice (x, two, far, second) y = Slice (a, two, far, second)",
        "y = Slice (x, four, far, second)",
        ROWS,
        two=ints(2),
        four=ints(4),
        far=ints(2**31),
    ),
    _layout(
        "slice-to-the-end",
        "y = Slice (x, two, far, second)",
        "y = Slice (x, two, farther, second)",
        ROWS,
        two=ints(2),
        far=ints(2**31 - 1),
        farther=ints(2**62),
    ),
    _layout(
        "split-by-slices",
        "a, b = Split <axis = 1> (x, parts) y = Concat <axis = 1> (b, a)",
        "a = Slice (x, first, two, second) b = Slice (x, two, four, second) y = Concat <axis = 1> (b, a)",
        IMAGE,
        parts=ints(2, 2),
        two=ints(2),
        four=ints(4),
    ),
    _layout(
        "squeeze-by-reshape",
        "y = Squeeze (x, last)",
        "s = Shape <end = -1> (x) y = Reshape (x, s)",
        "(float[n, c, 1] x) => (float[n, c] y)",
    ),
    _layout(
        "depth-to-space-spelled-out",
        "y = DepthToSpace <blocksize = 2> (x)",
        "a = Reshape (x, six) b = Transpose <perm = [0, 3, 4, 1, 5, 2]> (a) y = Reshape (b, four)",
        "(float[n, 8, 5, 7] x) => (float[n, 2, 10, 14] y)",
        six=ints(-1, 2, 2, 2, 5, 7),
        four=ints(-1, 2, 10, 14),
    ),
    _layout(
        "pads-merged",
        "a = Pad (x, one) y = Pad (a, one)",
        "y = Pad (x, two)",
        IMAGE,
        one=ints(0, 0, 1, 1, 0, 0, 1, 1),
        two=ints(0, 0, 2, 2, 0, 0, 2, 2),
    ),
    Case(
        "pools-in-turn",
        "pools",
        IMAGE,
        "y = MaxPool <kernel_shape = [5, 5], pads = [2, 2, 2, 2]> (x)",
        "a = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)"
        " y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a)",
    ),
    Case(
        "maximum-after-transpose",
        "pools",
        IMAGE,
        "y = ReduceMax <axes = [1], keepdims = 0> (x)",
        "t = Transpose <perm = [0, 2, 3, 1]> (x) y = ReduceMax <axes = [3], keepdims = 0> (t)",
    ),
    # ---- classifier
    Case(
        "softmax-spelled-out",
        "classifier",
        PLAIN,
        "y = Softmax <axis = -1> (x)",
        "m = ReduceMax <axes = [-1]> (x) d = Sub (x, m) e = Exp (d) s = ReduceSum (e, last) y = Div (e, s)",
        constants=AXES,
    ),
    Case(
        "softmax-behind-tanh",
        "classifier",
        PLAIN,
        "a = Tanh (x) y = Softmax <axis = -1> (a)",
        "a = Tanh (x) e = Exp (a) s = ReduceSum (e, last) y = Div (e, s)",
        constants=AXES,
    ),
    Case(
        "softmax-12-and-13-of-rows",
        "classifier",
        PLAIN,
        "a = Tanh (x) y = Softmax <axis = 1> (a)",
        "a = Tanh (x) y = Softmax <axis = 1> (a)",
        opsets=(12, 13),
    ),
    Case(
        "gemm-by-matmul",
        "classifier",
        "(float[n, 6] x) => (float[n, 6] y)",
        "y = Gemm (x, p, b)",
        "m = MatMul (x, p) y = Add (m, b)",
        "",
        SQUARE,
        {"b": floats(1, 2, 3, 4, 5, 6)},
    ),
    # Infinities cancel in one and not in the other, so the promise is for finite values.
    Case(
        "products-merged",
        "classifier",
        "(float[n, 6] x) => (float[n, 6] y)",
        "m = MatMul (x, p) y = MatMul (m, q)",
        "y = MatMul (x, pq)",
        "",
        SQUARE,
        {"pq": (drawn(3, SQUARE)["p"].astype(np.float64) @ drawn(3, SQUARE)["q"]).astype(np.float32)},
        domain={"A": (-1e30, 1e30)},
    ),
    Case(
        "transposed-weights",
        "classifier",
        "(float[n, 6] x) => (float[n, 6] y)",
        "y = Gemm (x, p)",
        "y = Gemm <transB = 1> (x, t)",
        "",
        SQUARE,
        {"t": np.ascontiguousarray(drawn(3, SQUARE)["p"].T)},
    ),
    Case(
        "argmax-of-the-same",
        "classifier",
        "(float[n, c] x) => (int64[n] y)",
        "a = Softmax <axis = 1> (x) y = ArgMax <axis = 1, keepdims = 0> (a)",
        "m = Softmax <axis = -1> (x) y = ArgMax <axis = -1, keepdims = 0> (m)",
    ),
    Case(
        "inputs-in-other-order",
        "classifier",
        "(float[n, c] x, float[n, c] z) => (float[n, c] y)",
        "a = Relu (x) b = Tanh (z) y = Add (a, b)",
        "b = Tanh (z) a = Relu (x) y = Add (b, a)",
    ),
    # ---- normalisation
    Case(
        "layer-norm-spelled-out",
        "normalisation",
        "(float[n, t, 12] x) => (float[n, t, 12] y)",
        "y = LayerNormalization (x, g, b)",
        "m = ReduceMean <axes = [-1]> (x) d = Sub (x, m) q = Mul (d, d) v = ReduceMean <axes = [-1]> (q)"
        " e = Add (v, eps) r = Sqrt (e) z = Div (d, r) s = Mul (z, g) y = Add (s, b)",
        "",
        {"g": (12,), "b": (12,)},
        {"eps": scalar(1e-5)},
    ),
    Case(
        "root-by-power",
        "normalisation",
        PLAIN,
        "q = Mul (x, x) s = ReduceSum (q, last) r = Sqrt (s) m = Max (r, tiny) y = Div (x, m)",
        "q = Mul (x, x) s = ReduceSum (q, last) r = Pow (s, half) m = Max (r, tiny) y = Div (x, m)",
        constants=AXES | {"tiny": scalar(1e-12), "half": scalar(0.5)},
    ),
]

RIGHT = RIGHT_LAYERS + RIGHT_VALUES
