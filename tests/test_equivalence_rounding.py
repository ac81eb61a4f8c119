"""Rounding that a model amplifies is no fault; a fault there, or at a scale of its own, is seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from surgery.equivalence.baseline import Baseline, Settings
from surgery.equivalence.compare import Rule, slices
from surgery.equivalence.examination import examine as examined
from surgery.report import Verification

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'
RNG = np.random.default_rng(11)
C = 8
CONV = {"w": RNG.standard_normal((C, 3, 3, 3)).astype(np.float32) / 5}
BN: dict[str, np.ndarray] = {
    "scale": RNG.uniform(0.5, 1.5, C).astype(np.float32),
    "bias": RNG.standard_normal(C).astype(np.float32),
    "mean": RNG.standard_normal(C).astype(np.float32),
    "var": RNG.uniform(0.5, 1.5, C).astype(np.float32),
}
EPS = 1e-5


def folded(eps: float = EPS, factor: float = 1.0) -> dict[str, np.ndarray]:
    """The convolution with the normalisation in its weights."""
    gain = (BN["scale"].astype(np.float64) / np.sqrt(BN["var"].astype(np.float64) + eps)) * factor
    return {
        "w": (CONV["w"] * gain[:, None, None, None]).astype(np.float32),
        "b": (BN["bias"] - BN["mean"] * gain).astype(np.float32),
    }


def write(path: Path, text: str, weights: Mapping[str, np.ndarray]) -> Path:
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.save(model, path)
    return path


def examine(before: Path, after: Path, **settings: Any) -> Verification:
    baseline = Baseline(Settings(before, **settings), lambda text: None)
    baseline.find()
    return examined(baseline, after, exact=False, changes=False, locate=False)


SUFFIX = {
    "Floor": ("float", "k = Constant<value_float = 100.0>()  m = Mul(n, k)  y = Floor(m)"),
    "Floor at once": ("float", "k = Constant<value_float = 100.0>()  f = Floor(n)  y = Div(f, k)"),
    "Round": ("float", "k = Constant<value_float = 100.0>()  m = Mul(n, k)  y = Round(m)"),
    "an image": (
        "uint8",
        "k = Constant<value_float = 40.0>()  m = Mul(n, k)  a = Constant<value_float = 0.0>()  "
        "z = Constant<value_float = 255.0>()  c = Clip(m, a, z)  y = Cast<to = 2>(c)",
    ),
    "a whole number": ("int64", "k = Constant<value_float = 1000.0>()  m = Mul(n, k)  y = Cast<to = 7>(m)"),
    "a pole": (
        "float",
        "h = Constant<value_float = 0.5>()  d = Sub(n, h)  o = Constant<value_float = 1.0>()  y = Div(o, d)",
    ),
    "a steep wave": ("float", "k = Constant<value_float = 5000.0>()  m = Mul(n, k)  y = Sin(m)"),
    "a choice": ("int64", "k = Constant<value_float = 3.0>()  m = Mul(n, k)  r = Round(m)  "
                 "i = ArgMax<axis = 1, keepdims = 1>(r)  o = Constant<value_int = 1>()  y = Add(i, o)"),
}  # fmt: skip


def model(kind: str, head: str) -> str:
    elem, suffix = SUFFIX[kind]
    return f"g (float[N,3,40,40] x) => ({elem}[N,M,40,40] y) {{ {head}  {suffix} }}"


PLAIN = f"p = Conv<pads = [1,1,1,1]>(x, w)  n = BatchNormalization<epsilon = {EPS}>(p, scale, bias, mean, var)"
FOLDED = "n = Conv<pads = [1,1,1,1]>(x, w, b)"


@pytest.mark.parametrize("kind", SUFFIX)
@pytest.mark.parametrize("name", ["n", "p"])  # the folded node's name: of the last node, or of the first
def test_a_fold_before_a_step_or_a_steep_function(tmp_path: Path, kind: str, name: str):
    before = write(tmp_path / "a.onnx", model(kind, PLAIN), {**CONV, **BN})
    text = model(kind, FOLDED)
    if name == "p":
        text = text.replace("n = Conv", "p = Conv").replace("(n, ", "(p, ").replace("(n)", "(p)")
    result = examine(before, write(tmp_path / "b.onnx", text, folded()))
    assert result.verdict == "equal", str(result)


FAULTS: dict[str, dict[str, Any]] = {
    "another epsilon": {"weights": folded(eps=2e-3)},
    "a weight off by 0.1 %": {"weights": folded(factor=1.001)},
}


@pytest.mark.parametrize("kind", SUFFIX)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_before_the_step_is_seen(tmp_path: Path, kind: str, fault: str):
    before = write(tmp_path / "a.onnx", model(kind, PLAIN), {**CONV, **BN})
    after = write(tmp_path / "b.onnx", model(kind, FOLDED), FAULTS[fault]["weights"])
    assert examine(before, after).verdict == "different"


BEHIND = {
    "Floor": ("y = Floor(m)", "y = Round(m)"),
    "Round": ("value_float = 100.0", "value_float = 100.1"),
    "an image": ("y = Cast<to = 2>(c)", "r = Round(c)  y = Cast<to = 2>(r)"),
    "a whole number": ("y = Cast<to = 7>(m)", "r = Floor(m)  y = Cast<to = 7>(r)"),
    "a pole": ("value_float = 0.5", "value_float = 0.501"),
    "a steep wave": ("value_float = 5000.0", "value_float = 5001.0"),
}


@pytest.mark.parametrize("kind", BEHIND)
def test_a_fault_behind_the_fold_is_seen(tmp_path: Path, kind: str):
    before = write(tmp_path / "a.onnx", model(kind, PLAIN), {**CONV, **BN})
    after = write(tmp_path / "b.onnx", model(kind, FOLDED).replace(*BEHIND[kind]), folded())
    assert examine(before, after).verdict == "different"


# ---- columns of unlike scale -------------------------------------------------------------------

COLUMNS = "g (float[N,8] x) => (float[N,3] y) { h = MatMul(x, w)  %s  y = Concat<axis = 1>(%s) }"
WEIGHTS = {"w": RNG.standard_normal((8, 3)).astype(np.float32)}
SCALES = "k = Constant<value_floats = [100000.0, 1.0, 0.001]>()  s = Mul(h, k)  "


def columns(path: Path, last: str = "") -> Path:
    split = SCALES + "two = Constant<value_ints = [2, 1]>()  a, b = Split<axis = 1>(s, two)  "
    return write(path, COLUMNS % (split + last, "a, c" if last else "a, b"), WEIGHTS)


@pytest.mark.parametrize(
    "last",
    [
        "z = Constant<value_float = 0.0>()  c = Mul(b, z)",
        "c = Neg(b)",
        "m = Constant<value_float = 1.1>()  c = Mul(b, m)",
    ],
    ids=["lost", "negated", "off by a tenth"],
)
def test_a_small_column_beside_a_large_one(tmp_path: Path, last: str):
    before, after = columns(tmp_path / "a.onnx"), columns(tmp_path / "b.onnx", last)
    assert examine(before, before).verdict == "equal"
    result = examine(before, after)
    assert result.verdict == "different" and "at its own scale" in result.outputs[0].note


def test_a_column_that_cancels_is_no_fault(tmp_path: Path):
    """What is left of a difference of large numbers is rounding."""
    io = "g (float[N,64] x) => (float[N,2] y) { h = MatMul(x, w)  e = MatMul(x, v)  d = Sub(h, e)  %s }"
    v = RNG.standard_normal((64, 1)).astype(np.float32)
    weights = {"w": np.concatenate([v * 2, v], 1), "v": np.concatenate([v, v], 1)}
    before = write(tmp_path / "a.onnx", io % "y = Identity(d)", weights)
    text = (io % "y = Identity(d)").replace(
        "h = MatMul(x, w)", "h0 = MatMul(x, w1)  h1 = MatMul(x, w2)  h = Add(h0, h1)"
    )
    mask = (np.arange(64) % 2).astype(np.float32)[:, None]
    after = write(
        tmp_path / "b.onnx", text, {"v": weights["v"], "w1": weights["w"] * mask, "w2": weights["w"] * (1 - mask)}
    )
    assert examine(before, after).verdict == "equal"


def test_slices_are_judged_at_their_own_scale():
    a = np.asarray([[1e5, 1.0], [2e5, 2.0]], np.float32)
    b = a.copy()
    assert slices(a, b, Rule()) == set()
    b[:, 1] = 0
    assert slices(a, b, Rule()) == {(1, 1)}
    b = a.copy()
    b[0, 0] = np.nan
    assert slices(a, b, Rule()) == set()  # where NaN may be is asked elsewhere
