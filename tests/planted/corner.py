"""Rewrites that are wrong in a corner only; site verification must catch every one, and name the tensor.

The corner stands in each case's name. Most of them give the right result on one set of normal values
of one size, which is all that other tools look at.
"""

from __future__ import annotations

import numpy as np

from tests.planted.pairs import Case, floats, ints, scalar

MAP = "(float[n, 3, h, w] x) => (float[n, 4, oh, ow] y)"
PLAIN = "(float[n, c] x) => (float[n, c] y)"
CONV = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "b2": (4,)}
STEM = "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) "
HEAD = " y = Conv <pads = [1, 1, 1, 1]> (r, w2, b2)"


def _stale(name: str, at: tuple[int, ...], factor: float) -> dict[str, np.ndarray]:
    from fixtures._text import drawn

    weight = drawn(3, CONV)[name]
    weight[at] *= factor
    return {name: weight}


def _conv(name: str, after: str, tensor: str = "r", before: str = "r = Relu (c)", **more: object) -> Case:
    constants = {"zero": scalar(0), "one": scalar(1), "endless": scalar(np.inf)}
    return Case(name, "convolutions", MAP, STEM + before + HEAD, STEM + after + HEAD, tensor, CONV, constants, **more)  # type: ignore[arg-type]


def _math(name: str, before: str, after: str, **more: object) -> Case:
    constants = {
        "zero": scalar(0), "half": scalar(0.5), "one": scalar(1), "two": scalar(2), "three": scalar(3), "six": scalar(6),
        "most": scalar(65504),
    }  # fmt: skip
    return Case(name, "elementwise", PLAIN, f"a = Mul (x, two) {before}", f"a = Mul (x, two) {after}", constants=constants, **more)  # type: ignore[arg-type]


def _whole(name: str, before: str, after: str, **constants: np.ndarray) -> Case:
    return Case(name, "integers", "(int64[n, c] x) => (int64[n, c] y)", before, after, constants=constants)


def _branch(then: str) -> str:
    return (
        "m = ReduceMax <keepdims = 0> (x) rare = Greater (m, bound) "
        f"y = If (rare) <then_branch = big () => (float[n, c] t) {{ {then} }},"
        " else_branch = small () => (float[n, c] e) { e = Mul (x, two) }>"
    )


def _loop(body: str) -> str:
    return (
        "s = Mul (x, two) "
        "y = Loop (count, go, s) <body = step (int64 i, bool c, float[n, c] acc) => (bool c2, float[n, c] next)"
        f" {{ c2 = Identity (c) {body} }}>"
    )


def _scan(body: str, attributes: str = "") -> str:
    return (
        "s = ReduceSum <keepdims = 0> (x, first) "
        f"last, y = Scan <num_scan_inputs = 1{attributes}, body = step (float[c] state, float[c] row)"
        f" => (float[c] next, float[c] out) {{ {body} }}> (s, x)"
    )


def _function(body: str) -> str:
    return f'<domain: "my", opset_import: ["" : 17]> leak <slope> (x) => (y) {{ {body} }}'


ATTENTION = "(float[n, t, 8] x, float[n, 1, t] mask) => (float[n, t, 8] y)"
SCORES = "k = Transpose <perm = [0, 2, 1]> (x) s = MatMul (x, k) on = Greater (mask, zero) "
FEW = "(float[n, t, 8] x, float[n, 1, 5] mask) => (float[n, t, 5] y)"
SCORES_OF_FEW = "s = MatMul (x, w) on = Greater (mask, zero) "
LSTM = "(float[t, n, 4] x) => (float[t, 1, n, 6] y)"
GATES = {"wl": (1, 24, 4), "rl": (1, 24, 6), "bl": (1, 48), "wg": (1, 18, 4), "rg": (1, 18, 6), "bg": (1, 36)}
GRU = {k: v for k, v in GATES.items() if k.endswith("g")}
IMAGE = "(float[n, 4, h, w] x) => (float[n, oc, oh, ow] y)"
BIG = {"mask": np.ones((100, 100), np.float32)}
SPECK = {"mask": np.ones((100, 100), np.float32)}
SPECK["mask"][61, 83] = 1.001
QUANT = {"scale": scalar(0.05), "zp": np.asarray(3, np.uint8), "none": np.asarray(0, np.uint8)}
AXES = {"hw": ints(2, 3), "last": ints(-1), "first": ints(0), "second": ints(1)}

WRONG = [
    # ---- convolutions
    _conv("one-weight-off-by-1e-3", "r = Relu (c)", "y", changed=_stale("w2", (1, 2, 0, 1), 1.01)),
    _conv("stale-bias", "r = Relu (c)", "y", changed={"b2": floats(0.3, -0.2, 0.1, 0.0)}),
    _conv("nan-becomes-0", "p = Greater (c, zero) r = Where (p, c, zero)"),
    _conv("minus-inf-becomes-nan", "p = Greater (c, zero) f = Cast <to = 1> (p) r = Mul (c, f)"),
    _conv("infinity-becomes-finite", "r = Clip (c, zero)"),  # whose upper bound is the largest float by default
    _conv("leak-1e-4", "r = LeakyRelu <alpha = 0.0001> (c)"),
    Case("pad-off-by-one", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD,
         STEM + "r = Relu (c) y = Conv <pads = [2, 1, 0, 1]> (r, w2, b2)", "y", CONV),
    Case("dilation", "convolutions", MAP, STEM + "r = Relu (c) y = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (r, w2, b2)",
         STEM + "r = Relu (c) y = Conv <pads = [1, 1, 2, 2], dilations = [1, 2]> (r, w2, b2)", "y", CONV),
    Case("first-sample-for-all", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD,
         STEM + "d = Slice (c, i0, i1, i0) q = Relu (d) s = Shape (c) r = Expand (q, s)" + HEAD, "r", CONV,
         {"i0": ints(0), "i1": ints(1)}),
    Case("odd-width", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD,
         STEM + "s = Shape <start = 3> (c) m = Mod (s, i2) f = Cast <to = 1> (m) k = Mul (f, tiny) g = Add (k, one) q = Relu (c)"
         " r = Mul (q, g)" + HEAD, "r", CONV, {"i2": ints(2), "tiny": scalar(0.001), "one": scalar(1)}),
    # ---- pools and layout
    Case("padding-counts", "pools", IMAGE, "a = Relu (x) y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (a)",
         "a = Relu (x) y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2], count_include_pad = 1> (a)"),
    Case("ceil-mode-at-odd-sizes", "pools", IMAGE, "a = Relu (x) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (a)",
         "a = Relu (x) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)"),
    Case("max-pool-pads-with-0", "pools", IMAGE, "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)",
         "p = Pad (x, pads) y = MaxPool <kernel_shape = [3, 3]> (p)", constants={"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
    Case("height-for-width", "layout", IMAGE, "a = Relu (x) y = Transpose <perm = [0, 2, 3, 1]> (a)",
         "a = Relu (x) y = Transpose <perm = [0, 3, 2, 1]> (a)"),
    Case("depth-to-space-order", "layout", "(float[n, 8, h, w] x) => (float[n, 2, oh, ow] y)", "y = DepthToSpace <blocksize = 2, mode = \"DCR\"> (x)",
         "y = DepthToSpace <blocksize = 2, mode = \"CRD\"> (x)"),
    Case("mean-of-one-size", "layout", IMAGE, "y = ReduceMean <axes = [2, 3]> (x)", "s = ReduceSum (x, hw) y = Mul (s, k)",
         constants=AXES | {"k": scalar(1 / 64**2)}),
    Case("batch-fixed", "layout", "(float[n, 4, 6] x) => (float[m, 24] y)", "y = Reshape (x, flat)", "y = Reshape (x, one)",
         constants={"flat": ints(0, -1), "one": ints(1, -1)}),
    Case("slice-ends-at-256", "layout", "(float[n, c] x) => (float[n, d] y)", "y = Slice (x, two, far, one)",
         "y = Slice (x, two, near, one)", constants={"two": ints(2), "one": ints(1), "far": ints(2**31), "near": ints(64)}),
    Case("edge-for-reflect", "layout", IMAGE, "y = Pad <mode = \"reflect\"> (x, pads)", "y = Pad <mode = \"edge\"> (x, pads)",
         constants={"pads": ints(0, 0, 2, 2, 0, 0, 2, 2)}),
    Case("concat-order", "layout", "(float[n, c] x) => (float[n, d] y)", "a = Relu (x) b = Tanh (x) y = Concat <axis = 1> (a, b)",
         "a = Relu (x) b = Tanh (x) y = Concat <axis = 1> (b, a)"),
    Case("cumsum-exclusive", "layout", PLAIN, "y = CumSum (x, one)", "y = CumSum <exclusive = 1> (x, one)",
         constants={"one": np.asarray(1, np.int64)}),
    # ---- classifier
    Case("softmax-12-against-13", "classifier", "(float[n, 4, 6] x) => (float[n, 4, 6] y)", "a = Tanh (x) y = Softmax <axis = 1> (a)",
         "a = Tanh (x) y = Softmax <axis = 1> (a)", opsets=(12, 13)),
    Case("softmax-without-maximum", "classifier", PLAIN, "y = Softmax <axis = -1> (x)",
         "e = Exp (x) s = ReduceSum (e, last) y = Div (e, s)", constants=AXES),
    Case("log-of-softmax", "classifier", PLAIN, "y = LogSoftmax <axis = -1> (x)", "s = Softmax <axis = -1> (x) y = Log (s)"),
    Case("last-of-ties", "classifier", "(float[n, c] x) => (int64[n] y)", "a = Relu (x) y = ArgMax <axis = 1, keepdims = 0> (a)",
         "a = Relu (x) y = ArgMax <axis = 1, keepdims = 0, select_last_index = 1> (a)"),
    Case("swapped-outputs", "classifier", "(float[n, c] x) => (float[n, c] y, float[n, c] z)", "y = Relu (x) z = Tanh (x)",
         "z = Relu (x) y = Tanh (x)"),
    Case("rounded-to-float16", "classifier", PLAIN, "a = Tanh (x) y = Neg (a)",
         "a = Tanh (x) h = Cast <to = 10> (a) f = Cast <to = 1> (h) y = Neg (f)"),
    Case("one-element-of-ten-thousand", "classifier", "(float[n, 100] x) => (float[n, 100] y)", "a = Relu (x) y = MatMul (a, mask)",
         "a = Relu (x) y = MatMul (a, mask)", constants=BIG, changed=SPECK),
    Case("top-2-sorted-by-index", "classifier", "(float[n, 9] x) => (float[n, 2] y)", "y, i = TopK (x, two)",
         "y, i = TopK <largest = 1, sorted = 1, axis = 0> (x, two)", constants={"two": ints(2)}),
    # ---- normalisations
    Case("epsilon-on-small-values", "normalisation", PLAIN, "y = LayerNormalization (x, g)",
         "y = LayerNormalization <epsilon = 0.0000001> (x, g)", constants={"g": floats(1)}),
    Case("unbiased-variance", "normalisation", "(float[n, 4, t] x) => (float[n, 4, t] y)", "y = InstanceNormalization (x, g, b)",
         "m = ReduceMean <axes = [2]> (x) d = Sub (x, m) q = Mul (d, d) s = ReduceSum (q, two) z = Shape <start = 2> (x)"
         " f = Cast <to = 1> (z) k = Sub (f, one) v = Div (s, k) e = Add (v, eps) r = Sqrt (e) y = Div (d, r)",
         constants={"g": np.ones(4, np.float32), "b": np.zeros(4, np.float32), "two": ints(2), "one": floats(1), "eps": scalar(1e-5)}),
    Case("nan-for-a-zero-row", "normalisation", PLAIN, "q = Mul (x, x) s = ReduceSum (q, last) r = Sqrt (s) m = Max (r, tiny) y = Div (x, m)",
         "q = Mul (x, x) s = ReduceSum (q, last) r = Sqrt (s) y = Div (x, r)", constants=AXES | {"tiny": scalar(1e-12)}),
    # ---- elementwise
    _math("overflow-of-exp", "y = Softplus (a)", "e = Exp (a) p = Add (e, one) y = Log (p)"),
    _math("tanh-by-exp", "y = Tanh (a)", "b = Mul (a, two) e = Exp (b) p = Sub (e, one) q = Add (e, one) y = Div (p, q)"),
    _math("nan-at-0", "y = Sign (a)", "b = Abs (a) y = Div (a, b)"),
    _math("minus-0", "y = Div (one, a)", "b = Add (a, zero) y = Div (one, b)"),
    _math("sign-bit-of-0", "y = Neg (a)", "y = Sub (zero, a)", exact=True),
    _math("ties-to-even", "y = Round (a)", "b = Add (a, half) y = Floor (b)"),
    _math("int32-wraps", "y = Floor (a)", "b = Floor (a) i = Cast <to = 6> (b) y = Cast <to = 1> (i)"),
    _math("above-65504", "y = Relu (a)", "y = Clip (a, zero, most)"),
    _math("negative-base", "y = Mul (a, a)", "l = Log (a) m = Mul (l, two) y = Exp (m)"),
    _math("outside-of-3", "b = Add (a, three) c = Clip (b, zero, six) y = Mul (a, c)", "b = Add (a, three) y = Mul (a, b)"),
    _math("another-order-of-sums", "b = Mul (a, three) y = Add (b, one)", "b = Add (a, one) y = Mul (b, three)", tensor="b"),
    _math("last-bit", "y = Div (a, three)", "k = Div (one, three) y = Mul (a, k)", exact=True),
    # ---- integers
    _whole("negative-integers", "f = Cast <to = 1> (x) h = Div (f, two) g = Floor (h) y = Cast <to = 7> (g)", "y = Div (x, itwo)",
           two=scalar(2), itwo=np.asarray(2, np.int64)),
    _whole("sign-of-modulus", "y = Mod (x, three)", "y = Mod <fmod = 1> (x, three)", three=np.asarray(3, np.int64)),
    _whole("int32-product-wraps", "y = Mul (x, k)", "i = Cast <to = 6> (x) j = Cast <to = 6> (k) p = Mul (i, j) y = Cast <to = 7> (p)",
           k=np.asarray(70000, np.int64)),
    _whole("beyond-2-to-the-24", "y = Add (x, k)", "f = Cast <to = 1> (x) g = Cast <to = 1> (k) s = Add (f, g) y = Cast <to = 7> (s)",
           k=np.asarray(1, np.int64)),
    # ---- attention
    Case("mask-too-high", "attention", FEW, SCORES_OF_FEW + "m = Where (on, s, low) p = Softmax <axis = -1> (m) y = Mul (p, two)",
         SCORES_OF_FEW + "m = Where (on, s, high) p = Softmax <axis = -1> (m) y = Mul (p, two)", "p", {"w": (8, 5)},
         {"zero": scalar(0), "low": scalar(-3e38), "high": scalar(-100), "two": scalar(2)}),
    Case("mask-of-first-sample", "attention", ATTENTION, SCORES + "m = Where (on, s, low) p = Softmax <axis = -1> (m) y = MatMul (p, x)",
         SCORES + "f = Slice (on, i0, i1, i0) m = Where (f, s, low) p = Softmax <axis = -1> (m) y = MatMul (p, x)", "m",
         constants={"zero": scalar(0), "low": scalar(-1e9), "i0": ints(0), "i1": ints(1)}),
    # ---- recurrent
    Case("clipped-cells", "recurrent", LSTM, "y, h, c = LSTM <hidden_size = 6> (x, wl, rl, bl)",
         "y, h, c = LSTM <hidden_size = 6, clip = 8.0> (x, wl, rl, bl)", weights={k: v for k, v in GATES.items() if k.endswith("l")}),
    Case("linear-before-reset", "recurrent", LSTM, "y, h = GRU <hidden_size = 6> (x, wg, rg, bg)",
         "y, h = GRU <hidden_size = 6, linear_before_reset = 1> (x, wg, rg, bg)", weights=GRU),
    Case("one-direction", "recurrent", LSTM, "y, h = GRU <hidden_size = 6> (x, wg, rg, bg)",
         "y, h = GRU <hidden_size = 6, direction = \"reverse\"> (x, wg, rg, bg)", weights=GRU),
    # ---- control flow
    Case("seldom-branch", "branches", PLAIN, _branch("t = Mul (x, two)"), _branch("t = Mul (x, three)"),
         constants={"bound": scalar(9), "two": scalar(2), "three": scalar(3)}),
    Case("carried-value", "loops", "(float[n, c] x, int64 count) => (float[n, c] y)", _loop("next = Add (acc, x)"),
         _loop("b = Add (s, x) next = Identity (b)"), constants={"two": scalar(2), "go": np.asarray(True)}),
    Case("iteration-number", "loops", "(float[n, c] x, int64 count) => (float[n, c] y)",
         _loop("f = Cast <to = 1> (i) m = Mul (x, f) next = Add (acc, m)"), _loop("next = Add (acc, x)"),
         constants={"two": scalar(2), "go": np.asarray(True)}),
    Case("scan-backwards", "scans", "(float[t, c] x) => (float[t, c] y)", _scan("next = Add (state, row) out = Tanh (next)"),
         _scan("next = Add (state, row) out = Tanh (next)", ", scan_input_directions = [1]"), constants=AXES),
    Case("scan-loses-state", "scans", "(float[t, c] x) => (float[t, c] y)", _scan("next = Add (state, row) out = Tanh (next)"),
         _scan("next = Add (state, row) out = Tanh (row)"), constants=AXES),
    # ---- functions
    Case("attribute-of-a-call", "functions", PLAIN, "y = my.leak <slope = 0.1> (x)", "y = my.leak <slope = 0.1001> (x)",
         functions=(_function("y = LeakyRelu <alpha : float = @slope> (x)"),) * 2),
    Case("body-of-a-function", "functions", PLAIN, "a = Tanh (x) y = my.leak <slope = 0.1> (a)", "a = Tanh (x) y = my.leak <slope = 0.1> (a)",
         functions=(_function("y = LeakyRelu <alpha : float = @slope> (x)"), _function("y = Elu <alpha : float = @slope> (x)"))),
    # ---- quantised
    Case("zero-point-dropped", "quantised", PLAIN, "q = QuantizeLinear (x, scale, zp) y = DequantizeLinear (q, scale, zp)",
         "q = QuantizeLinear (x, scale, zp) y = DequantizeLinear (q, scale, none)", constants=QUANT),
    Case("no-saturation", "quantised", PLAIN, "q = QuantizeLinear (x, scale, zp) y = DequantizeLinear (q, scale, zp)",
         "d = Div (x, scale) r = Round (d) y = Mul (r, scale)", constants=QUANT),
    Case("half-up", "quantised", "(float[n, c] x) => (uint8[n, c] y)", "y = QuantizeLinear (x, scale, zp)",
         "d = Div (x, scale) a = Add (d, z) s = Add (a, half) f = Floor (s) k = Clip (f, low, high) y = Cast <to = 2> (k)",
         constants={**QUANT, "scale": scalar(0.5), "z": scalar(3), "half": scalar(0.5), "low": scalar(0), "high": scalar(255)}),
    # ---- sampling
    Case("nearest-of-odd-scale", "sampling", IMAGE,
         "y = Resize <mode = \"nearest\", nearest_mode = \"round_prefer_floor\"> (x, roi, scales)",
         "y = Resize <mode = \"nearest\", nearest_mode = \"floor\"> (x, roi, scales)",
         constants={"roi": floats(), "scales": floats(1, 1, 1.5, 1.5)}),
    Case("coordinates-of-resize", "sampling", IMAGE, "y = Resize <mode = \"linear\"> (x, roi, scales)",
         "y = Resize <mode = \"linear\", coordinate_transformation_mode = \"asymmetric\"> (x, roi, scales)",
         constants={"roi": floats(), "scales": floats(1, 1, 2, 2)}),
    Case("size-of-one-run", "sampling", IMAGE, "y = Resize <mode = \"nearest\"> (x, roi, scales)",
         "s = Shape <end = 2> (x) z = Concat <axis = 0> (s, hw) y = Resize <mode = \"nearest\"> (x, roi, none, z)",
         constants={"roi": floats(), "none": floats(), "scales": floats(1, 1, 2, 2), "hw": ints(128, 128)}),
    Case("outside-of-the-grid", "sampling", "(float[n, 4, h, w] x, float[n, a, b, 2] grid) => (float[n, 4, a, b] y)",
         "y = GridSample <padding_mode = \"zeros\"> (x, grid)", "y = GridSample <padding_mode = \"border\"> (x, grid)"),
    # ---- lookups
    Case("negative-index", "lookups", "(int64[n] x) => (float[n, 4] y)", "y = Gather (table, x)", "a = Abs (x) y = Gather (table, a)",
         weights={"table": (12, 4)}),
    Case("axis-of-gather", "lookups", "(float[n, c] x) => (float[n, c] y)", "i = ArgMax <axis = 1> (x) j = Expand (i, two) y = GatherElements <axis = 1> (x, j)",
         "i = ArgMax <axis = 1> (x) j = Expand (i, two) y = GatherElements <axis = 0> (x, j)", constants={"two": ints(1, 1)}),
    Case("trilu-diagonal", "lookups", "(float[n, t, t] x) => (float[n, t, t] y)", "y = Trilu (x, k)", "y = Trilu (x)",
         constants={"k": np.asarray(1, np.int64)}),
]  # fmt: skip
