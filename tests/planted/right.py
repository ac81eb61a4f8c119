"""Rewrites that are right and look suspicious; site verification must refuse none of them."""

from __future__ import annotations

import numpy as np

from tests.planted.corner import (
    AXES,
    CONV,
    GATES,
    HEAD,
    IMAGE,
    LSTM,
    MAP,
    PLAIN,
    QUANT,
    STEM,
    _branch,
    _conv,
    _function,
    _loop,
    _math,
    _scan,
    _whole,
)
from tests.planted.pairs import Case, drawn, floats, ints, scalar


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
    before = "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) n = BatchNormalization (c, gain, shift, mean, var) y = Relu (n)"
    # The folded Conv bears the name of the Conv that it was, whose values it no longer has.
    after = "c = Conv <pads = [1, 1, 1, 1]> (x, wf, bf) y = Relu (c)"
    return Case(name, "convolutions", MAP, before, after, "", weights, _folded(size))


def _layout(name: str, before: str, after: str, signature: str = IMAGE, **constants: np.ndarray) -> Case:
    return Case(name, "layout", signature, before, after, "", constants=AXES | constants)


ROWS = "(float[n, c] x) => (float[n, d] y)"
SQUARE = {"p": (6, 6), "q": (6, 6)}
LONG = "a = Relu (x) b = Tanh (a) c = Sigmoid (b) y = Neg (c)"

RIGHT = [
    # ---- convolutions
    _fold("folded-batch-normalization", 1.0),
    _fold("folded-at-a-large-scale", 1e4),
    _fold("folded-at-a-small-scale", 1e-4),
    _conv("relu-by-max", "r = Max (c, zero)"),
    _conv("relu-by-clip", "r = Clip (c, zero, endless)"),
    _conv("relu-by-parts", "n = Neg (c) a = Abs (c) s = Add (c, a) t = Identity (s) h = Max (c, zero) r = Identity (h)"),
    Case("bias-by-add", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD,
         "d = Conv <pads = [1, 1, 1, 1]> (x, w1) c = Add (d, bb) r = Relu (c)" + HEAD, "", CONV,
         {"bb": drawn(3, CONV)["b1"].reshape(4, 1, 1)}),
    Case("pads-of-its-own", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD,
         "p = Pad (x, pads) c = Conv (p, w1, b1) r = Relu (c)" + HEAD, "", CONV, {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
    Case("auto-pad-spelled-out", "convolutions", MAP, "c = Conv <auto_pad = \"SAME_UPPER\"> (x, w1, b1) y = Relu (c)",
         "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) y = Relu (c)", "", CONV),
    Case("scale-into-weights", "convolutions", MAP, STEM + "r = Relu (c) q = Conv <pads = [1, 1, 1, 1]> (r, w2, b2) y = Mul (q, k)",
         STEM + "r = Relu (c) y = Conv <pads = [1, 1, 1, 1]> (r, w3, b3)", "", CONV,
         {"k": scalar(0.3), "w3": drawn(3, CONV)["w2"] * np.float32(0.3), "b3": drawn(3, CONV)["b2"] * np.float32(0.3)}),
    Case("identities-gone", "convolutions", MAP, STEM + "i = Identity (c) j = Identity (i) r = Relu (j)" + HEAD, STEM + "r = Relu (c)" + HEAD, "", CONV),
    Case("shared-branch", "convolutions", MAP, STEM + "d = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Add (c, d)" + HEAD,
         STEM + "r = Add (c, c)" + HEAD, "", CONV),
    Case("dead-branch", "convolutions", MAP, STEM + "u = Exp (c) v = Log (u) r = Relu (c)" + HEAD, STEM + "r = Relu (c)" + HEAD, "", CONV),
    # ---- elementwise
    _math("sigmoid-by-exp", "y = Sigmoid (a)", "m = Neg (a) e = Exp (m) p = Add (e, one) y = Div (one, p)"),
    _math("tanh-by-sigmoid", "y = Tanh (a)", "b = Mul (a, two) s = Sigmoid (b) t = Mul (s, two) y = Sub (t, one)", atol=1e-6),
    _math("hardswish-spelled-out", "y = HardSwish (a)",
          "b = Add (a, three) c = Clip (b, zero, six) m = Mul (a, c) y = Div (m, six)"),
    _math("division-by-product", "y = Div (a, three)", "k = Div (one, three) y = Mul (a, k)"),
    _math("re-associated-sums", "b = Add (a, three) y = Add (b, six)", "k = Add (three, six) y = Add (a, k)"),
    _math("re-associated-products", "b = Mul (a, three) y = Mul (b, six)", "k = Mul (three, six) y = Mul (a, k)"),
    _math("commuted", "b = Tanh (a) y = Add (a, b)", "b = Tanh (a) y = Add (b, a)", exact=True),
    _math("sub-by-add", "y = Sub (a, three)", "n = Neg (three) y = Add (a, n)", exact=True),
    _math("double-negation", "b = Neg (a) c = Neg (b) y = Relu (c)", "y = Relu (a)", exact=True),
    _math("square-by-pow", "y = Mul (a, a)", "y = Pow (a, two)"),
    _math("clip-by-min-and-max", "y = Clip (a, zero, six)", "b = Max (a, zero) y = Min (b, six)", exact=True),
    _math("relu-twice", "b = Relu (a) y = Relu (b)", "y = Relu (a)", exact=True),
    _math("abs-by-max", "y = Abs (a)", "n = Neg (a) y = Max (a, n)"),
    _math("neg-by-sub", "y = Neg (a)", "y = Sub (zero, a)"),
    _math("power-of-two", "y = Div (a, two)", "y = Mul (a, half)", exact=True),
    _math("where-for-max", "p = Greater (a, three) y = Where (p, a, three)",
          "p = Greater (a, three) n = Not (p) y = Where (n, three, a)", exact=True),
    _math("softplus-in-safety", "y = Softplus (a)", "m = Relu (a) b = Abs (a) n = Neg (b) e = Exp (n) p = Add (e, one) l = Log (p) y = Add (m, l)"),
    _math("ties-away", "y = Floor (a)", "n = Neg (a) c = Ceil (n) y = Neg (c)", exact=True),
    Case("all-names-new", "elementwise", PLAIN, LONG, "q0 = Relu (x) q1 = Tanh (q0) q2 = Sigmoid (q1) y = Neg (q2)"),
    Case("names-changed-over", "elementwise", PLAIN, LONG, "b = Relu (x) c = Tanh (b) a = Sigmoid (c) y = Neg (a)"),
    Case("root-of-a-square", "elementwise", PLAIN, "r = Relu (x) q = Mul (r, r) y = Sqrt (q)", "r = Relu (x) y = Relu (r)"),
    # ---- layout
    _layout("transposes-merged", "a = Transpose <perm = [0, 2, 3, 1]> (x) b = Relu (a) y = Transpose <perm = [0, 3, 1, 2]> (b)", "y = Relu (x)"),
    _layout("mean-by-pool", "y = ReduceMean <axes = [2, 3]> (x)", "y = GlobalAveragePool (x)"),
    _layout("sum-by-mean", "s = Shape <start = 2> (x) p = ReduceProd <keepdims = 0> (s) f = Cast <to = 1> (p) m = ReduceMean <axes = [2, 3]> (x) y = Mul (m, f)",
            "y = ReduceSum (x, hw)"),
    _layout("flatten-by-reshape", "y = Flatten <axis = 1> (x)", "s = Shape (x) b = Slice (s, first, second) t = Concat <axis = 0> (b, last) y = Reshape (x, t)",
            "(float[n, 4, 6] x) => (float[n, 24] y)"),
    _layout("shape-chain-folded", "s = Shape (x) b = Gather (s, first) t = Concat <axis = 0> (b, flat) y = Reshape (x, t)", "y = Reshape (x, zero_flat)",
            "(float[n, 4, 6] x) => (float[n, 24] y)", flat=ints(24), zero_flat=ints(0, 24)),
    _layout("declared-dims-folded", "s = Shape <start = 1> (x) p = ReduceProd <axes = [0]> (s) t = Concat <axis = 0> (last, p) y = Reshape (x, t)", "y = Reshape (x, flat)",
            "(float[n, 4, 6] x) => (float[n, 24] y)", flat=ints(-1, 24)),
    _layout("concat-flattened", "b = Concat <axis = 1> (x, x) y = Concat <axis = 1> (b, x)", "y = Concat <axis = 1> (x, x, x)", ROWS),
    _layout("slice-of-slice", "a = Slice (x, two, far, second) y = Slice (a, two, far, second)", "y = Slice (x, four, far, second)", ROWS,
            two=ints(2), four=ints(4), far=ints(2**31)),
    _layout("slice-to-the-end", "y = Slice (x, two, far, second)", "y = Slice (x, two, farther, second)", ROWS, two=ints(2), far=ints(2**31 - 1), farther=ints(2**62)),
    _layout("split-by-slices", "a, b = Split <axis = 1> (x, parts) y = Concat <axis = 1> (b, a)",
            "a = Slice (x, first, two, second) b = Slice (x, two, four, second) y = Concat <axis = 1> (b, a)", IMAGE, parts=ints(2, 2), two=ints(2), four=ints(4)),
    _layout("squeeze-by-reshape", "y = Squeeze (x, last)", "s = Shape <end = -1> (x) y = Reshape (x, s)", "(float[n, c, 1] x) => (float[n, c] y)"),
    _layout("depth-to-space-spelled-out", "y = DepthToSpace <blocksize = 2> (x)",
            "a = Reshape (x, six) b = Transpose <perm = [0, 3, 4, 1, 5, 2]> (a) y = Reshape (b, four)", "(float[n, 8, 5, 7] x) => (float[n, 2, 10, 14] y)",
            six=ints(-1, 2, 2, 2, 5, 7), four=ints(-1, 2, 10, 14)),
    _layout("pads-merged", "a = Pad (x, one) y = Pad (a, one)", "y = Pad (x, two)", IMAGE, one=ints(0, 0, 1, 1, 0, 0, 1, 1), two=ints(0, 0, 2, 2, 0, 0, 2, 2)),
    Case("pools-in-turn", "pools", IMAGE, "y = MaxPool <kernel_shape = [5, 5], pads = [2, 2, 2, 2]> (x)",
         "a = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a)"),
    Case("maximum-after-transpose", "pools", IMAGE, "y = ReduceMax <axes = [1], keepdims = 0> (x)",
         "t = Transpose <perm = [0, 2, 3, 1]> (x) y = ReduceMax <axes = [3], keepdims = 0> (t)"),
    # ---- classifier
    Case("softmax-spelled-out", "classifier", PLAIN, "y = Softmax <axis = -1> (x)",
         "m = ReduceMax <axes = [-1]> (x) d = Sub (x, m) e = Exp (d) s = ReduceSum (e, last) y = Div (e, s)", constants=AXES),
    Case("softmax-behind-tanh", "classifier", PLAIN, "a = Tanh (x) y = Softmax <axis = -1> (a)",
         "a = Tanh (x) e = Exp (a) s = ReduceSum (e, last) y = Div (e, s)", constants=AXES),
    Case("softmax-12-and-13-of-rows", "classifier", PLAIN, "a = Tanh (x) y = Softmax <axis = 1> (a)", "a = Tanh (x) y = Softmax <axis = 1> (a)", opsets=(12, 13)),
    Case("gemm-by-matmul", "classifier", "(float[n, 6] x) => (float[n, 6] y)", "y = Gemm (x, p, b)", "m = MatMul (x, p) y = Add (m, b)", "",
         SQUARE, {"b": floats(1, 2, 3, 4, 5, 6)}),
    Case("products-merged", "classifier", "(float[n, 6] x) => (float[n, 6] y)", "m = MatMul (x, p) y = MatMul (m, q)", "y = MatMul (x, pq)", "",
         SQUARE, {"pq": (drawn(3, SQUARE)["p"].astype(np.float64) @ drawn(3, SQUARE)["q"]).astype(np.float32)}),
    Case("transposed-weights", "classifier", "(float[n, 6] x) => (float[n, 6] y)", "y = Gemm (x, p)", "y = Gemm <transB = 1> (x, t)", "",
         SQUARE, {"t": np.ascontiguousarray(drawn(3, SQUARE)["p"].T)}),
    Case("argmax-of-the-same", "classifier", "(float[n, c] x) => (int64[n] y)", "a = Softmax <axis = 1> (x) y = ArgMax <axis = 1, keepdims = 0> (a)",
         "m = Softmax <axis = -1> (x) y = ArgMax <axis = -1, keepdims = 0> (m)"),
    Case("inputs-in-other-order", "classifier", "(float[n, c] x, float[n, c] z) => (float[n, c] y)", "a = Relu (x) b = Tanh (z) y = Add (a, b)",
         "b = Tanh (z) a = Relu (x) y = Add (b, a)"),
    # ---- normalisation
    Case("layer-norm-spelled-out", "normalisation", "(float[n, t, 12] x) => (float[n, t, 12] y)", "y = LayerNormalization (x, g, b)",
         "m = ReduceMean <axes = [-1]> (x) d = Sub (x, m) q = Mul (d, d) v = ReduceMean <axes = [-1]> (q) e = Add (v, eps) r = Sqrt (e) z = Div (d, r) s = Mul (z, g) y = Add (s, b)",
         "", {"g": (12,), "b": (12,)}, {"eps": scalar(1e-5)}),
    Case("root-by-power", "normalisation", PLAIN, "q = Mul (x, x) s = ReduceSum (q, last) r = Sqrt (s) m = Max (r, tiny) y = Div (x, m)",
         "q = Mul (x, x) s = ReduceSum (q, last) r = Pow (s, half) m = Max (r, tiny) y = Div (x, m)", constants=AXES | {"tiny": scalar(1e-12), "half": scalar(0.5)}),
    # ---- integers
    _whole("shift-for-product", "a = Add (x, x) y = Add (a, a)", "y = Mul (x, four)", four=np.asarray(4, np.int64)),
    _whole("floor-of-negatives", "m = Mod (x, three) d = Sub (x, m) y = Div (d, three)", "m = Mod (x, three) d = Sub (x, m) n = Neg (d) q = Div (n, three) y = Neg (q)",
           three=np.asarray(3, np.int64)),
    # ---- recurrent, control flow, functions
    Case("initial-states-written", "recurrent", LSTM, "y, h = GRU <hidden_size = 6> (x, wg, rg, bg)",
         "y, h = GRU <hidden_size = 6, linear_before_reset = 0, direction = \"forward\"> (x, wg, rg, bg)", "", {k: v for k, v in GATES.items() if k.endswith("g")}),
    Case("branch-respelled", "branches", PLAIN, _branch("t = Mul (x, two)"), _branch("t = Add (x, x)"), constants={"bound": scalar(9), "two": scalar(2)}),
    Case("branch-renamed", "branches", PLAIN, _branch("t = Mul (x, two)"), _branch("u = Mul (x, two) t = Identity (u)"), constants={"bound": scalar(9), "two": scalar(2)}),
    Case("loop-respelled", "loops", "(float[n, c] x, int64 count) => (float[n, c] y)", _loop("next = Add (acc, x)"), _loop("n1 = Neg (x) next = Sub (acc, n1)"),
         constants={"two": scalar(2), "go": np.asarray(True)}),
    Case("scan-respelled", "scans", "(float[t, c] x) => (float[t, c] y)", _scan("next = Add (state, row) out = Tanh (next)"),
         _scan("next = Add (row, state) q = Add (row, state) out = Tanh (q)"), constants=AXES),
    Case("function-inlined", "functions", PLAIN, "a = my.leak <slope = 0.1> (x) y = Neg (a)", "a = LeakyRelu <alpha = 0.1> (x) y = Neg (a)",
         functions=(_function("y = LeakyRelu <alpha : float = @slope> (x)"), "")),
    Case("function-respelled", "functions", PLAIN, "a = my.leak <slope = 0.1> (x) y = Neg (a)", "a = my.leak <slope = 0.1> (x) y = Neg (a)",
         functions=(_function("y = LeakyRelu <alpha : float = @slope> (x)"), _function("z = Identity (x) w = LeakyRelu <alpha : float = @slope> (z) y = Identity (w)"))),
    # ---- quantised, sampling, lookups
    Case("zero-point-of-0", "quantised", PLAIN, "q = QuantizeLinear (x, scale, none) y = DequantizeLinear (q, scale, none)",
         "q = QuantizeLinear (x, scale) y = DequantizeLinear (q, scale)", constants=QUANT),
    Case("resize-by-sizes", "sampling", IMAGE, "y = Resize <mode = \"nearest\"> (x, roi, scales)",
         "s = Shape (x) z = Mul (s, twice) y = Resize <mode = \"nearest\"> (x, roi, none, z)", constants={"roi": floats(), "none": floats(), "scales": floats(1, 1, 2, 2), "twice": ints(1, 1, 2, 2)}),
    Case("gather-by-slice", "lookups", ROWS, "y = Gather <axis = 1> (x, two)", "y = Slice (x, two, three, one)", constants={"two": ints(2), "three": ints(3), "one": ints(1)}),
    Case("wrapped-index", "lookups", "(int64[n] x) => (float[n, 4] y)", "y = Gather (table, x)",
         "p = Less (x, zero) s = Add (x, size) i = Where (p, s, x) y = Gather (table, i)", "", {"table": (12, 4)},
         {"zero": np.asarray(0, np.int64), "size": np.asarray(12, np.int64)}),
]  # fmt: skip
