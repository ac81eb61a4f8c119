"""What the pairs of `corner` and `right` are put together from: signatures, stems, and builders of cases."""

from __future__ import annotations

import numpy as np

from fixtures._text import drawn
from planted.pairs import Case, ints, scalar

MAP = "(float[n, 3, h, w] x) => (float[n, 4, oh, ow] y)"
PLAIN = "(float[n, c] x) => (float[n, c] y)"
CONV = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "b2": (4,)}
STEM = "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) "
HEAD = " y = Conv <pads = [1, 1, 1, 1]> (r, w2, b2)"


def stale(name: str, at: tuple[int, ...], factor: float) -> dict[str, np.ndarray]:

    weight = drawn(3, CONV)[name]
    weight[at] *= factor
    return {name: weight}


def conv(name: str, after: str, tensor: str = "r", before: str = "r = Relu (c)", **more: object) -> Case:
    constants = {"zero": scalar(0), "one": scalar(1), "endless": scalar(np.inf)}
    return Case(name, "convolutions", MAP, STEM + before + HEAD, STEM + after + HEAD, tensor, CONV, constants, **more)  # type: ignore[arg-type]


def elementwise(name: str, before: str, after: str, **more: object) -> Case:
    constants = {
        "zero": scalar(0),
        "half": scalar(0.5),
        "one": scalar(1),
        "two": scalar(2),
        "three": scalar(3),
        "six": scalar(6),
        "most": scalar(65504),
    }
    return Case(
        name,
        "elementwise",
        PLAIN,
        f"a = Mul (x, two) {before}",
        f"a = Mul (x, two) {after}",
        constants=constants,
        **more,
    )  # type: ignore[arg-type]


def integers(name: str, before: str, after: str, **constants: np.ndarray) -> Case:
    return Case(name, "integers", "(int64[n, c] x) => (int64[n, c] y)", before, after, constants=constants)


def branch(then: str) -> str:
    return (
        "m = ReduceMax <keepdims = 0> (x) rare = Greater (m, bound) "
        f"y = If (rare) <then_branch = big () => (float[n, c] t) {{ {then} }},"
        " else_branch = small () => (float[n, c] e) { e = Mul (x, two) }>"
    )


def loop(body: str) -> str:
    return (
        "s = Mul (x, two) "
        "y = Loop (count, go, s) <body = step (int64 i, bool c, float[n, c] acc) => (bool c2, float[n, c] next)"
        f" {{ c2 = Identity (c) {body} }}>"
    )


def scan(body: str, attributes: str = "") -> str:
    return (
        "s = ReduceSum <keepdims = 0> (x, first) "
        f"last, y = Scan <num_scan_inputs = 1{attributes}, body = step (float[c] state, float[c] row)"
        f" => (float[c] next, float[c] out) {{ {body} }}> (s, x)"
    )


def function(body: str) -> str:
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
ROWS = "(float[n, c] x) => (float[n, d] y)"
SQUARE = {"p": (6, 6), "q": (6, 6)}
LONG = "a = Relu (x) b = Tanh (a) c = Sigmoid (b) y = Neg (c)"
