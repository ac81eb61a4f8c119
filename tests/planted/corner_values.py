"""Of the rewrites of `corner`: those of elementwise operators, integers, recurrence, control flow and lookups."""

from __future__ import annotations

import numpy as np

from planted.pairs import Case, floats, ints, scalar
from planted.parts import (
    ATTENTION,
    AXES,
    FEW,
    GATES,
    GRU,
    IMAGE,
    LSTM,
    PLAIN,
    QUANT,
    SCORES,
    SCORES_OF_FEW,
    branch,
    elementwise,
    function,
    integers,
    loop,
    scan,
)

VALUES = [
    # ---- elementwise
    elementwise("overflow-of-exp", "y = Softplus (a)", "e = Exp (a) p = Add (e, one) y = Log (p)"),
    elementwise(
        "tanh-by-exp", "y = Tanh (a)", "b = Mul (a, two) e = Exp (b) p = Sub (e, one) q = Add (e, one) y = Div (p, q)"
    ),
    elementwise("nan-at-0", "y = Sign (a)", "b = Abs (a) y = Div (a, b)"),
    elementwise("minus-0", "y = Div (one, a)", "b = Add (a, zero) y = Div (one, b)"),
    elementwise("sign-bit-of-0", "y = Neg (a)", "y = Sub (zero, a)", exact=True),
    elementwise("ties-to-even", "y = Round (a)", "b = Add (a, half) y = Floor (b)"),
    elementwise("int32-wraps", "y = Floor (a)", "b = Floor (a) i = Cast <to = 6> (b) y = Cast <to = 1> (i)"),
    elementwise("above-65504", "y = Relu (a)", "y = Clip (a, zero, most)"),
    elementwise("negative-base", "y = Mul (a, a)", "l = Log (a) m = Mul (l, two) y = Exp (m)"),
    elementwise(
        "outside-of-3", "b = Add (a, three) c = Clip (b, zero, six) y = Mul (a, c)", "b = Add (a, three) y = Mul (a, b)"
    ),
    elementwise(
        "another-order-of-sums",
        "b = Mul (a, three) y = Add (b, one)",
        "b = Add (a, one) y = Mul (b, three)",
        tensor="b",
    ),
    elementwise("last-bit", "y = Div (a, three)", "k = Div (one, three) y = Mul (a, k)", exact=True),
    # ---- integers
    integers(
        "negative-integers",
        "f = Cast <to = 1> (x) h = Div (f, two) g = Floor (h) y = Cast <to = 7> (g)",
        "y = Div (x, itwo)",
        two=scalar(2),
        itwo=np.asarray(2, np.int64),
    ),
    integers("sign-of-modulus", "y = Mod (x, three)", "y = Mod <fmod = 1> (x, three)", three=np.asarray(3, np.int64)),
    integers(
        "int32-product-wraps",
        "y = Mul (x, k)",
        "i = Cast <to = 6> (x) j = Cast <to = 6> (k) p = Mul (i, j) y = Cast <to = 7> (p)",
        k=np.asarray(70000, np.int64),
    ),
    integers(
        "beyond-2-to-the-24",
        "y = Add (x, k)",
        "f = Cast <to = 1> (x) g = Cast <to = 1> (k) s = Add (f, g) y = Cast <to = 7> (s)",
        k=np.asarray(1, np.int64),
    ),
    # ---- attention
    Case(
        "mask-too-high",
        "attention",
        FEW,
        SCORES_OF_FEW + "m = Where (on, s, low) p = Softmax <axis = -1> (m) y = Mul (p, two)",
        SCORES_OF_FEW + "m = Where (on, s, high) p = Softmax <axis = -1> (m) y = Mul (p, two)",
        "p",
        {"w": (8, 5)},
        {"zero": scalar(0), "low": scalar(-3e38), "high": scalar(-100), "two": scalar(2)},
    ),
    Case(
        "mask-of-first-sample",
        "attention",
        ATTENTION,
        SCORES + "m = Where (on, s, low) p = Softmax <axis = -1> (m) y = MatMul (p, x)",
        SCORES + "f = Slice (on, i0, i1, i0) m = Where (f, s, low) p = Softmax <axis = -1> (m) y = MatMul (p, x)",
        "m",
        constants={"zero": scalar(0), "low": scalar(-1e9), "i0": ints(0), "i1": ints(1)},
    ),
    # ---- recurrent
    Case(
        "clipped-cells",
        "recurrent",
        LSTM,
        "y, h, c = LSTM <hidden_size = 6> (x, wl, rl, bl)",
        "y, h, c = LSTM <hidden_size = 6, clip = 8.0> (x, wl, rl, bl)",
        weights={k: v for k, v in GATES.items() if k.endswith("l")},
    ),
    Case(
        "linear-before-reset",
        "recurrent",
        LSTM,
        "y, h = GRU <hidden_size = 6> (x, wg, rg, bg)",
        "y, h = GRU <hidden_size = 6, linear_before_reset = 1> (x, wg, rg, bg)",
        weights=GRU,
    ),
    Case(
        "one-direction",
        "recurrent",
        LSTM,
        "y, h = GRU <hidden_size = 6> (x, wg, rg, bg)",
        'y, h = GRU <hidden_size = 6, direction = "reverse"> (x, wg, rg, bg)',
        weights=GRU,
    ),
    # ---- control flow
    Case(
        "seldom-branch",
        "branches",
        PLAIN,
        branch("t = Mul (x, two)"),
        branch("t = Mul (x, three)"),
        constants={"bound": scalar(9), "two": scalar(2), "three": scalar(3)},
    ),
    Case(
        "carried-value",
        "loops",
        "(float[n, c] x, int64 count) => (float[n, c] y)",
        loop("next = Add (acc, x)"),
        loop("b = Add (s, x) next = Identity (b)"),
        constants={"two": scalar(2), "go": np.asarray(True)},
    ),
    Case(
        "iteration-number",
        "loops",
        "(float[n, c] x, int64 count) => (float[n, c] y)",
        loop("f = Cast <to = 1> (i) m = Mul (x, f) next = Add (acc, m)"),
        loop("next = Add (acc, x)"),
        constants={"two": scalar(2), "go": np.asarray(True)},
    ),
    Case(
        "scan-backwards",
        "scans",
        "(float[t, c] x) => (float[t, c] y)",
        scan("next = Add (state, row) out = Tanh (next)"),
        scan("next = Add (state, row) out = Tanh (next)", ", scan_input_directions = [1]"),
        constants=AXES,
    ),
    Case(
        "scan-loses-state",
        "scans",
        "(float[t, c] x) => (float[t, c] y)",
        scan("next = Add (state, row) out = Tanh (next)"),
        scan("next = Add (state, row) out = Tanh (row)"),
        constants=AXES,
    ),
    # ---- functions
    Case(
        "attribute-of-a-call",
        "functions",
        PLAIN,
        "y = my.leak <slope = 0.1> (x)",
        "y = my.leak <slope = 0.1001> (x)",
        functions=(function("y = LeakyRelu <alpha : float = @slope> (x)"),) * 2,
    ),
    Case(
        "body-of-a-function",
        "functions",
        PLAIN,
        "a = Tanh (x) y = my.leak <slope = 0.1> (a)",
        "a = Tanh (x) y = my.leak <slope = 0.1> (a)",
        functions=(
            function("y = LeakyRelu <alpha : float = @slope> (x)"),
            function("y = Elu <alpha : float = @slope> (x)"),
        ),
    ),
    # ---- quantised
    Case(
        "zero-point-dropped",
        "quantised",
        PLAIN,
        "q = QuantizeLinear (x, scale, zp) y = DequantizeLinear (q, scale, zp)",
        "q = QuantizeLinear (x, scale, zp) y = DequantizeLinear (q, scale, none)",
        constants=QUANT,
    ),
    Case(
        "no-saturation",
        "quantised",
        PLAIN,
        "q = QuantizeLinear (x, scale, zp) y = DequantizeLinear (q, scale, zp)",
        "d = Div (x, scale) r = Round (d) y = Mul (r, scale)",
        constants=QUANT,
    ),
    Case(
        "half-up",
        "quantised",
        "(float[n, c] x) => (uint8[n, c] y)",
        "y = QuantizeLinear (x, scale, zp)",
        "d = Div (x, scale) a = Add (d, z) s = Add (a, half) f = Floor (s) k = Clip (f, low, high)"
        " y = Cast <to = 2> (k)",
        constants={
            **QUANT,
            "scale": scalar(0.5),
            "z": scalar(3),
            "half": scalar(0.5),
            "low": scalar(0),
            "high": scalar(255),
        },
    ),
    # ---- sampling
    Case(
        "nearest-of-odd-scale",
        "sampling",
        IMAGE,
        'y = Resize <mode = "nearest", nearest_mode = "round_prefer_floor"> (x, roi, scales)',
        'y = Resize <mode = "nearest", nearest_mode = "floor"> (x, roi, scales)',
        constants={"roi": floats(), "scales": floats(1, 1, 1.5, 1.5)},
    ),
    Case(
        "coordinates-of-resize",
        "sampling",
        IMAGE,
        'y = Resize <mode = "linear"> (x, roi, scales)',
        'y = Resize <mode = "linear", coordinate_transformation_mode = "asymmetric"> (x, roi, scales)',
        constants={"roi": floats(), "scales": floats(1, 1, 2, 2)},
    ),
    Case(
        "size-of-one-run",
        "sampling",
        IMAGE,
        'y = Resize <mode = "nearest"> (x, roi, scales)',
        's = Shape <end = 2> (x) z = Concat <axis = 0> (s, hw) y = Resize <mode = "nearest"> (x, roi, none, z)',
        constants={"roi": floats(), "none": floats(), "scales": floats(1, 1, 2, 2), "hw": ints(128, 128)},
    ),
    Case(
        "outside-of-the-grid",
        "sampling",
        "(float[n, 4, h, w] x, float[n, h, w, 2] grid) => (float[n, 4, h, w] y)",
        'y = GridSample <padding_mode = "zeros"> (x, grid)',
        'y = GridSample <padding_mode = "border"> (x, grid)',
    ),
    # ---- lookups
    Case(
        "negative-index",
        "lookups",
        "(int64[n] x) => (float[n, 4] y)",
        "y = Gather (table, x)",
        "a = Abs (x) y = Gather (table, a)",
        weights={"table": (12, 4)},
    ),
    Case(
        "axis-of-gather",
        "lookups",
        "(float[n, c] x) => (float[n, c] y)",
        "i = ArgMax <axis = 1> (x) j = Expand (i, two) y = GatherElements <axis = 1> (x, j)",
        "i = ArgMax <axis = 1> (x) j = Expand (i, two) y = GatherElements <axis = 0> (x, j)",
        constants={"two": ints(1, 1)},
    ),
    Case(
        "trilu-diagonal",
        "lookups",
        "(float[n, t, t] x) => (float[n, t, t] y)",
        "y = Trilu (x, k)",
        "y = Trilu (x)",
        constants={"k": np.asarray(1, np.int64)},
    ),
]
