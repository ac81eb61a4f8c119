"""Whole-model verification, from the parent through the child and back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from surgery.equivalence import Verifier, verify, verify_reference
from surgery.equivalence.baseline import Baseline, Settings
from surgery.equivalence.examination import examine as examined
from surgery.equivalence.pairing import Mismatch
from surgery.errors import BadInput
from surgery.report import Verification

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'
RNG = np.random.default_rng(7)
CONV = {
    "w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32),
    "v": RNG.standard_normal((4, 4, 1, 1)).astype(np.float32),
}
IO = "g (float[N,3,H,W] x) => (float[N,4,H,W] y) "
NET = "a = Conv<pads = [1,1,1,1]>(x, w)  b = Relu(a)  c = Conv(b, v)  "


def write(path: Path, text: str, **weights: np.ndarray) -> Path:
    """Write a model given in ONNX's text form."""
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.save(model, path)
    return path


def examine(
    before: Path,
    after: Path,
    *,
    exact: bool = False,
    changes: bool = False,
    interface: frozenset[str] | None = None,
    **settings: Any,
) -> Verification:
    """What the child does, without the child: quicker."""
    baseline = Baseline(Settings(before, **settings), lambda text: None)
    baseline.find()
    return examined(baseline, after, exact=exact, changes=changes, locate=True, interface=interface)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small network whose batch, height and width are free."""
    return write(tmp_path / "net.onnx", IO + "{ " + NET + "y = Sigmoid(c) }", **CONV)


# ---- right and wrong models -------------------------------------------------------------------


def test_a_model_equals_itself(net: Path):
    with Verifier(net) as verifier:
        verifier.start()
        result = verifier.compare(net, exact=True)
    assert result.verdict == "equal" and result.ok
    assert result.evidence.planted == result.evidence.seen == 2
    assert [probe.shapes["x"][0] for probe in result.probes] == [2, 1, 3]
    assert [report.name for report in result.outputs] == ["y"]


def test_one_baseline_serves_many(net: Path, tmp_path: Path):
    wrong = write(tmp_path / "wrong.onnx", IO + "{ " + NET + "y = Tanh(c) }", **CONV)
    with Verifier(net) as verifier:
        assert verifier.compare(wrong).verdict == "different"
        pid = verifier.pid
        assert verifier.compare(net).verdict == "equal"
        assert verifier.pid == pid


RIGHT = {
    "Sigmoid spelled out": "n = Neg(c)  e = Exp(n)  one = Constant<value_float = 1.0>()  d = Add(one, e)  "
    "y = Div(one, d)",
    "clipped before it saturates": "lo = Constant<value_float = -88.0>()  hi = Constant<value_float = 88.0>()  "
    "k = Clip(c, lo, hi)  y = Sigmoid(k)",
    "other inner names": "z = Identity(c)  y = Sigmoid(z)",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_right_rewrites(net: Path, tmp_path: Path, text: str):
    after = write(tmp_path / "after.onnx", IO + "{ " + NET + text + " }", **CONV)
    assert examine(net, after).verdict == "equal"


# Each adds to c, before the Sigmoid, something that is not zero in one case only.
SHAPE = "s = Shape(x)  zero = Constant<value_float = 0.0>()  half = Constant<value_float = 0.5>()  "
ODD = "two = Constant<value_int = 2>()  r = Mod(d, two)  f = Cast<to = 1>(r)  o = Mul(f, half)  c2 = Add(c, o)  "


def axis(i: int) -> str:
    return f"i = Constant<value_int = {i}>()  d = Gather(s, i)  "


WRONG = {
    "at batch 2 only": SHAPE + axis(0) + "n = Constant<value_int = 2>()  q = Equal(d, n)  o = Where(q, half, zero)  "
    "c2 = Add(c, o)  y = Sigmoid(c2)",
    "at odd widths only": SHAPE + axis(3) + ODD + "y = Sigmoid(c2)",
    "at odd heights only": SHAPE + axis(2) + ODD + "y = Sigmoid(c2)",
    "where height is not width": SHAPE
    + "i = Constant<value_int = 2>()  h = Gather(s, i)  j = Constant<value_int = 3>()"
    "  k = Gather(s, j)  q = Equal(h, k)  o = Where(q, zero, half)  c2 = Add(c, o)  y = Sigmoid(c2)",
    "a constant off by 1 %": "m = Constant<value_float = 1.01>()  c2 = Mul(c, m)  y = Sigmoid(c2)",
    "a sign": "c2 = Neg(c)  y = Sigmoid(c2)",
    "transposed": "t = Transpose<perm = [0,1,3,2]>(c)  y = Sigmoid(t)",
    "another activation": "y = HardSigmoid(c)",
    "the first sample for all": "zero = Constant<value_float = 0.0>()  i = Constant<value_ints = [0]>()  "
    "f = Gather(c, i)  z = Mul(c, zero)  c2 = Add(f, z)  y = Sigmoid(c2)",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_wrong_rewrites(net: Path, tmp_path: Path, text: str):
    after = write(tmp_path / "after.onnx", IO + "{ " + NET + text + " }", **CONV)
    result = examine(net, after)
    assert result.verdict == "different"
    assert result.outputs[0].verdict == "different" and result.outputs[0].outside > 0


def test_a_stale_weight(net: Path, tmp_path: Path):
    stale = {**CONV, "v": CONV["v"].copy()}
    stale["v"][0, 0] *= 1.01
    after = write(tmp_path / "after.onnx", IO + "{ " + NET + "y = Sigmoid(c) }", **stale)
    result = examine(net, after)
    assert result.verdict == "different"
    assert result.first_difference and result.first_difference.tensor == "c"
    assert result.first_difference.before.startswith("Conv")


def test_the_first_tensor_that_differs_is_found(net: Path, tmp_path: Path):
    after = write(
        tmp_path / "after.onnx",
        IO + "{ a = Conv<pads = [1,1,1,1]>(x, w)  b = LeakyRelu(a)  c = Conv(b, v)  y = Sigmoid(c) }",
        **CONV,
    )
    found = examine(net, after).first_difference
    assert found and found.tensor == "b" and found.before == "Relu b" and found.after == "LeakyRelu b"
    assert found.max_abs > 0


def test_a_fault_behind_a_saturated_output(tmp_path: Path):
    """The output is 1.0 to the last bit whatever comes; the logits are not."""
    weights = {**CONV, "k": np.asarray(40, np.float32)}
    before = write(tmp_path / "a.onnx", IO + "{ " + NET + "r = Abs(c)  q = Add(r, k)  y = Sigmoid(q) }", **weights)
    after = write(
        tmp_path / "b.onnx",
        IO + "{ " + NET + "r0 = Abs(c)  m = Constant<value_float = 1.5>()  r = Mul(r0, m)  q = Add(r, k)  "
        "y = Sigmoid(q) }",
        **weights,
    )
    result = examine(before, after)
    assert result.verdict == "different" and "logits" in result.outputs[0].note
    assert examine(before, before).evidence.note == "2 in logits only"


def test_a_dim_that_was_fixed(net: Path, tmp_path: Path):
    after = write(
        tmp_path / "after.onnx",
        "g (float[1,3,H,W] x) => (float[1,4,H,W] y) { " + NET + "y = Sigmoid(c) }",
        **CONV,
    )
    result = examine(net, after)
    assert result.verdict == "different"
    assert any("does not run on x [2, 3" in note for note in result.notes)
    assert examine(net, after, interface=frozenset({"dims"})).verdict == "equal"  # on purpose
    # That results change on purpose is no word on sizes.
    assert examine(net, after, changes=True, interface=frozenset()).verdict == "different"


def test_a_dim_that_is_baked_in_within(net: Path, tmp_path: Path):
    after = write(
        tmp_path / "after.onnx",
        IO + "{ " + NET + "s = Constant<value_ints = [2,4,64,64]>()  f = Reshape(c, s)  y = Sigmoid(f) }",
        **CONV,
    )
    result = examine(net, after)
    assert result.verdict == "different" and any("does not run" in note for note in result.notes)


def test_nan_in_another_place(tmp_path: Path):
    io = "g (float[N,8] x) => (float[N,8] y) "
    before = write(tmp_path / "a.onnx", io + "{ n = Neg(x)  d = Relu(x)  e = Sub(d, d)  y = Div(x, e) }")
    after = write(
        tmp_path / "b.onnx",
        io + "{ k = Constant<value_float = 1000000.0>()  y = Mul(x, k) }",
    )
    assert examine(before, before).verdict == "equal"
    assert examine(before, after).verdict == "different"


# ---- outputs of other kinds -------------------------------------------------------------------

TWO = "g (float[N,8] x) => (float[N,8] p, float[N,8] q) "


def test_swapped_outputs(tmp_path: Path):
    before = write(tmp_path / "a.onnx", TWO + "{ p = Relu(x)  q = Sigmoid(x) }")
    after = write(tmp_path / "b.onnx", TWO + "{ q = Relu(x)  p = Sigmoid(x) }")
    result = examine(before, after)
    assert result.verdict == "different"
    assert [report.verdict for report in result.outputs] == ["different", "different"]


def test_outputs_in_another_order_pair_by_name(tmp_path: Path):
    before = write(tmp_path / "a.onnx", TWO + "{ p = Relu(x)  q = Sigmoid(x) }")
    after = write(
        tmp_path / "b.onnx", "g (float[N,8] x) => (float[N,8] q, float[N,8] p) { p = Relu(x)  q = Sigmoid(x) }"
    )
    assert examine(before, after, match="name").verdict == "equal"
    assert examine(before, after, match="position").verdict == "different"
    with pytest.raises(Mismatch, match="another order"):
        examine(before, after)


def test_other_names_pair_by_position(tmp_path: Path):
    before = write(tmp_path / "a.onnx", "g (float[N,8] x) => (float[N,8] y) { y = Relu(x) }")
    after = write(tmp_path / "b.onnx", "g (float[N,8] u) => (float[N,8] v) { v = Relu(u) }")
    assert examine(before, after, match="position").verdict == "equal"
    with pytest.raises(Mismatch, match="no input 'u'"):
        examine(before, after)
    with pytest.raises(BadInput, match="--match position"):
        verify(before, after)
    with Verifier(before) as verifier:
        assert verifier.compare(after).verdict == "different"


def test_a_lost_output(tmp_path: Path):
    before = write(tmp_path / "a.onnx", TWO + "{ p = Relu(x)  q = Sigmoid(x) }")
    after = write(tmp_path / "b.onnx", "g (float[N,8] x) => (float[N,8] p) { p = Relu(x) }")
    with pytest.raises(Mismatch, match="the model after has no output 'q'"):
        examine(before, after)
    assert examine(after, before).verdict == "equal"  # an output on top is only noted


def test_another_dtype_or_rank(tmp_path: Path):
    before = write(tmp_path / "a.onnx", "g (float[N,8] x) => (float[N,8] y) { y = Relu(x) }")
    double = write(tmp_path / "b.onnx", "g (float[N,8] x) => (double[N,8] y) { z = Relu(x)  y = Cast<to = 11>(z) }")
    flat = write(
        tmp_path / "c.onnx",
        "g (float[N,8] x) => (float[M] y) { z = Relu(x)  s = Constant<value_ints = [-1]>()  y = Reshape(z, s) }",
    )
    for after, words in ((double, "was float, is double"), (flat, "had 2 axes, has 1")):
        for changes in (False, True):
            result = examine(before, after, changes=changes)
            assert result.verdict == "different" and result.outputs[0].note == words


def test_integers_must_be_equal_but_for_ties(tmp_path: Path):
    io = "g (float[N,5] x) => (int64[N] y) "
    before = write(tmp_path / "a.onnx", io + "{ y = ArgMax<axis = 1, keepdims = 0>(x) }")
    scaled = write(
        tmp_path / "b.onnx",
        io + "{ k = Constant<value_float = 2.0>()  z = Mul(x, k)  y = ArgMax<axis = 1, keepdims = 0>(z) }",
    )
    least = write(tmp_path / "c.onnx", io + "{ y = ArgMin<axis = 1, keepdims = 0>(x) }")
    assert examine(before, least).verdict == "different"
    # Twice the scores pick the same: the logits differ, though.
    assert examine(before, scaled).outputs[0].max_abs == 0
    tied = write(tmp_path / "d.onnx", io + "{ z = Relu(x)  w = Sub(z, z)  y = ArgMax<axis = 1, keepdims = 0>(w) }")
    last = write(
        tmp_path / "e.onnx",
        io + "{ z = Relu(x)  w = Sub(z, z)  y = ArgMax<axis = 1, keepdims = 0, select_last_index = 1>(w) }",
    )
    result = examine(tied, last)
    assert result.verdict == "equal" and "ties" in result.outputs[0].note


def test_sequences_and_strings(tmp_path: Path):
    io = "g (float[N,4] x) => (seq(float[N,2]) y) "
    before = write(tmp_path / "a.onnx", io + "{ y = SplitToSequence<axis = 1>(x, k) }", k=np.asarray(2, np.int64))
    after = write(
        tmp_path / "b.onnx", io + "{ z = Neg(x)  y = SplitToSequence<axis = 1>(z, k) }", k=np.asarray(2, np.int64)
    )
    assert examine(before, before).verdict == "equal"
    assert examine(before, after).verdict == "different"
    io = "g (string[N] x) => (string[N] y) "
    before = write(tmp_path / "c.onnx", io + "{ y = Identity(x) }")
    after = write(tmp_path / "d.onnx", io + '{ y = StringNormalizer<case_change_action = "UPPER">(x) }')
    assert examine(before, before).verdict == "equal"
    assert examine(before, after).verdict == "different"


def test_sequences_of_unlike_shapes(tmp_path: Path):
    io = "g (float[N,5] x) => (seq(float[N,M]) y) "
    before = write(tmp_path / "a.onnx", io + "{ y = SplitToSequence<axis = 1>(x, k) }", k=np.asarray(2, np.int64))
    after = write(
        tmp_path / "b.onnx", io + "{ z = Neg(x)  y = SplitToSequence<axis = 1>(z, k) }", k=np.asarray(2, np.int64)
    )
    assert examine(before, before).verdict == "equal"
    assert examine(before, after).verdict == "different"


def test_values_are_chosen_that_give_no_nan(tmp_path: Path):
    model = write(tmp_path / "a.onnx", "g (float[N,8] x) => (float[N,8] y) { y = Log(x) }")
    baseline = Baseline(Settings(model), lambda text: None)
    baseline.find()
    assert all(np.isfinite(case.outputs["y"]).all() for case in baseline.cases)


def test_random_operators_are_comparable(tmp_path: Path):
    io = "g (float[N,8] x) => (float[N,8] y) "
    before = write(tmp_path / "a.onnx", io + "{ r = RandomNormalLike(x)  y = Add(x, r) }")
    after = write(tmp_path / "b.onnx", io + "{ z = Identity(x)  r = RandomNormalLike(z)  y = Add(r, x) }")
    wrong = write(tmp_path / "c.onnx", io + "{ r = RandomNormalLike(x)  y = Sub(x, r) }")
    assert examine(before, after).verdict == "equal"
    assert examine(before, wrong).verdict == "different"


def test_weights_that_are_big_enough_to_stay_in_the_file(tmp_path: Path):
    w = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    io = "g (float[N,64] x, bool[] c) => (float[N,64] y) "
    text = io + "{ y = If(c) <then_branch = t () => (float[N,64] p) { p = MatMul(x, w) }, "
    text += "else_branch = e () => (float[N,64] q) { q = Neg(x) }> }"
    before = write(tmp_path / "a.onnx", text, w=w)
    assert examine(before, before).verdict == "equal"
    other = write(tmp_path / "b.onnx", text, w=w * np.float32(1.01))
    assert examine(before, other).verdict == "different"


# ---- contracts and tolerances -----------------------------------------------------------------


def test_exact_asks_for_the_same_bits(net: Path, tmp_path: Path):
    text = RIGHT["Sigmoid spelled out"]
    after = write(tmp_path / "after.onnx", IO + "{ " + NET + text + " }", **CONV)
    result = examine(net, after, exact=True)
    assert result.verdict == "different" and "other bits" in result.outputs[0].note


def test_changes_are_reported_and_pass(net: Path, tmp_path: Path):
    after = write(tmp_path / "after.onnx", IO + "{ " + NET + "y = HardSigmoid(c) }", **CONV)
    result = examine(net, after, changes=True)
    assert result.verdict == "changed" and result.ok
    assert result.outputs[0].verdict == "changed" and result.outputs[0].max_abs > 0.01


def test_the_users_tolerance(net: Path, tmp_path: Path):
    after = write(tmp_path / "after.onnx", IO + "{ " + NET + "y = HardSigmoid(c) }", **CONV)
    assert examine(net, after, rtol=0.0, atol=1.0).verdict == "equal"


# ---- the user's data --------------------------------------------------------------------------


def run(model: Path, x: np.ndarray) -> np.ndarray:
    from surgery.equivalence.session import Session
    from surgery.equivalence.subject import Subject

    return np.asarray(Session(Subject.read(model)).run({"x": x})["y"])


def test_inputs_of_the_user_are_run_too(net: Path, tmp_path: Path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones((1, 3, 10, 11), np.float32))
    result = examine(net, net, inputs=[path])
    assert [probe.kind for probe in result.probes].count("user") == 1
    np.savez(path, x=np.ones((1, 3, 10, 11)))
    with pytest.raises(BadInput, match="float64"):
        examine(net, net, inputs=[path])
    with pytest.raises(BadInput, match="float64"):
        verify(net, net, inputs=[path])


def test_shapes_of_the_user_replace_those_found(net: Path):
    for given in ({"x": [1, 3, 17, 19]}, "x:1,3,17,19"):
        result = examine(net, net, probes=[given])
        assert {tuple(probe.shapes["x"]) for probe in result.probes} == {(1, 3, 17, 19)}
    with pytest.raises(BadInput, match="no shape of an input"):
        verify(net, net, probes=["x=1"])
    with pytest.raises(BadInput, match="does not fit"):
        examine(net, net, probes=[{"x": [1, 4, 17, 19]}])


def test_a_reference_decides(net: Path, tmp_path: Path):
    right = write(tmp_path / "right.onnx", IO + "{ " + NET + RIGHT["Sigmoid spelled out"] + " }", **CONV)
    wrong = write(tmp_path / "wrong.onnx", IO + "{ " + NET + "y = Tanh(c) }", **CONV)
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    path = tmp_path / "reference.npz"
    np.savez(path, **{"x.0": x, "y.0": run(net, x)})  # type: ignore[arg-type]
    assert examine(net, right, reference=path).verdict == "equal"
    assert examine(net, wrong, reference=path).verdict == "different"
    # A model before that is wrong can be mended, and its like is refused.
    mended = examine(wrong, right, reference=path)
    assert mended.verdict == "equal" and any("itself disagrees" in note for note in mended.notes)
    assert examine(wrong, wrong, reference=path).verdict == "different"
    assert examine(wrong, right, reference=path, changes=True).verdict == "changed"
    assert examine(net, wrong, reference=path, changes=True).verdict == "different"
    alone = verify_reference(right, path)
    assert alone.verdict == "equal" and alone.mode == "reference" and alone.evidence.seen == 2
    assert verify_reference(wrong, path).verdict == "different"


def test_a_model_that_no_runtime_loads(net: Path, tmp_path: Path):
    model = onnx.load(net)
    model.graph.node[1].op_type = "Placeholder"
    onnx.save(model, tmp_path / "before.onnx")
    result = examine(tmp_path / "before.onnx", net)
    assert result.verdict == "unverified" and not result.ok
    assert any("Placeholder" in note for note in result.notes)
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    np.savez(tmp_path / "r.npz", x=x, y=run(net, x))
    result = examine(tmp_path / "before.onnx", net, reference=tmp_path / "r.npz")
    assert result.verdict == "equal" and result.evidence.seen == result.evidence.planted == 2


def test_a_model_after_that_does_not_load_is_different(net: Path, tmp_path: Path):
    model = onnx.load(net)
    model.graph.node[1].op_type = "Placeholder"
    onnx.save(model, tmp_path / "after.onnx")
    assert examine(net, tmp_path / "after.onnx").verdict == "different"


def test_files_that_are_no_models(net: Path, tmp_path: Path):
    (tmp_path / "noise.onnx").write_bytes(b"\xff" * 100)
    for a, b in ((net, tmp_path / "noise.onnx"), (tmp_path / "noise.onnx", net), (net, tmp_path / "absent.onnx")):
        with pytest.raises(BadInput):
            verify(a, b)


# ---- the child process ------------------------------------------------------------------------


def endless(tmp_path: Path) -> Path:
    """A model that runs for hours."""
    return write(
        tmp_path / "endless.onnx",
        "g (float[N,4] x) => (float[N,4] y) { n = Constant<value_int = 1000000000000>()  "
        "t = Constant<value = bool {1}>()  y = Loop(n, t, x) "
        "<body = b (int64 i, bool g, float[N,4] v) => (bool h, float[N,4] w) { h = Identity(g)  w = Neg(v) }> }",
    )


def test_a_child_that_is_killed(net: Path):
    with Verifier(net) as verifier:
        verifier.start()
        assert verifier.pid
        os.kill(verifier.pid, signal.SIGKILL)
        result = verifier.compare(net)
        assert result.verdict == "unverified" and "SIGKILL" in result.notes[0]
        assert verifier.compare(net).verdict == "equal"  # another child does it


def test_time_runs_out(tmp_path: Path):
    model = endless(tmp_path)
    with Verifier(model, budget=2.0) as verifier:
        start = time.monotonic()
        result = verifier.compare(model)
        assert time.monotonic() - start < 15
    assert result.verdict == "unverified" and any("did not end within" in note for note in result.notes)


def test_an_absurd_demand_for_memory_is_an_ordinary_failure(tmp_path: Path):
    model = write(
        tmp_path / "huge.onnx",
        "g (float[N,4] x) => (float[N,M] y) { s = Constant<value_ints = [1, 1000000000000]>()  y = Tile(x, s) }",
    )
    result = verify(model, model)
    assert result.verdict == "unverified" and result.notes


def test_the_child_ends_with_its_parent(net: Path):
    script = (
        "import sys, os; from surgery.equivalence import Verifier\n"
        "v = Verifier(sys.argv[1]); v.start(); print(v.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(net)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    pid = int(done.stdout)
    for _ in range(100):
        if not _alive(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the child outlived its parent")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_closing_ends_the_child(net: Path):
    verifier = Verifier(net)
    verifier.start()
    pid = verifier.pid
    assert pid and _alive(pid)
    verifier.close()
    assert not _alive(pid) and verifier.pid is None


def test_nothing_reaches_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    model = write(tmp_path / "a.onnx", "g (float[N,4] x) => (float[7,7] y) { y = Relu(x) }")
    verify(model, model)
    assert capfd.readouterr() == ("", "")


def test_progress_is_told(net: Path):
    told: list[str] = []
    with Verifier(net, on_progress=told.append) as verifier:
        verifier.compare(net)
    assert told[0] == "baseline" and "planting faults" in told and told[-1] == "comparing"


# ---- real models ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["starnet", "ppocr_cls", "ppocrv4_det", "ppocrv4_rec", "panet"])
def test_all_planted_faults_are_seen(name: str):
    folder = os.environ.get("SURGERY_MODELS")
    if not folder:
        pytest.skip("SURGERY_MODELS names no folder of real models")
    model = Path(folder) / f"{name}.onnx"
    if not model.exists():
        pytest.skip(f"{model} is not there")
    result = verify(model, model)
    assert result.verdict == "equal" and (result.evidence.seen, result.evidence.planted) == (12, 12)


@pytest.mark.parametrize(("dims", "right"), [((1, 4), False), (("N", 7), False), (("M", 4), True)])
def test_declared_dims_that_no_run_keeps_are_a_difference(tmp_path, dims, right):
    before = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 13]> g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }'
    )
    after = onnx.ModelProto()
    after.CopyFrom(before)
    for dim, value in zip(after.graph.output[0].type.tensor_type.shape.dim, dims, strict=True):
        dim.Clear()
        setattr(dim, "dim_value" if isinstance(value, int) else "dim_param", value)
    onnx.save(before, tmp_path / "before.onnx")
    onnx.save(after, tmp_path / "after.onnx")
    found = verify(tmp_path / "before.onnx", tmp_path / "after.onnx")
    assert found.ok is right, str(found)


# ---- integers ---------------------------------------------------------------------------------

INTEGERS = "g (int64[N,8] i, float[N,8] x) => (float[N,8] y) { f = Cast<to = 1>(i)  r = Relu(f)  y = Add(r, x) }"
INTEGERS_WRONG = {
    "a negative one": "r = Abs(f)",
    "a large one": "m = Constant<value_float = 65535.0>()  z = Constant<value_float = 0.0>()  r = Clip(f, z, m)",
}


@pytest.mark.parametrize("text", INTEGERS_WRONG.values(), ids=INTEGERS_WRONG.keys())
def test_faults_that_only_some_integers_show(tmp_path: Path, text: str):
    before = write(tmp_path / "a.onnx", INTEGERS)
    assert examine(before, before).verdict == "equal"
    after = write(tmp_path / "b.onnx", INTEGERS.replace("r = Relu(f)", text))
    assert examine(before, after).verdict == "different"


def test_integers_are_wide_only_where_the_model_takes_them(tmp_path: Path):
    text = """g (int64[N,4] i, int32[N,4] j) => (float[N,4,5] y) {
        two = Constant<value_int = 2>()  k = Mod(i, two)  k2 = Add(i, k)  a = Gather(table, k2)
        f = Cast<to = 1>(j)  ax = Constant<value_ints = [2]>()  u = Unsqueeze(f, ax)  y = Add(a, u) }"""
    before = write(tmp_path / "a.onnx", text, table=np.ones((7, 5), np.float32))
    baseline = Baseline(Settings(before), lambda text: None)
    baseline.find()
    assert all(case.feeds["i"].min() >= 0 and case.feeds["i"].max() < 7 for case in baseline.cases)
    assert min(case.feeds["j"].min() for case in baseline.cases) < 0
    assert max(case.feeds["j"].max() for case in baseline.cases) == 2**31 - 1


# ---- what the evidence is worth ---------------------------------------------------------------

CHOICES = {
    "cast and added to": "j = Cast<to = 6>(i)  one = Constant<value = int32 {3}>()  y = Add(j, one)",
    "looked up": "t = Constant<value_ints = [5, 9, 2, 7]>()  y0 = Gather(t, i)  y = Cast<to = 6>(y0)",
    "as a mask": "k = Constant<value_int = 2>()  q = Equal(i, k)  y = Cast<to = 6>(q)",
}


@pytest.mark.parametrize("text", CHOICES.values(), ids=CHOICES.keys())
def test_logits_are_found_behind_what_is_made_of_a_choice(tmp_path: Path, text: str):
    io = "g (float[N,3,H,W] x) => (int32[N,H,W] y) "
    before = write(
        tmp_path / "a.onnx", io + "{ " + NET + "i = ArgMax<axis = 1, keepdims = 0>(c)  " + text + " }", **CONV
    )
    result = examine(before, before)
    assert result.verdict == "equal" and result.evidence.seen == result.evidence.planted == 2
    stale = {**CONV, "v": CONV["v"] * np.float32(1.001)}
    after = write(
        tmp_path / "b.onnx", io + "{ " + NET + "i = ArgMax<axis = 1, keepdims = 0>(c)  " + text + " }", **stale
    )
    assert examine(before, after).verdict == "different"


def test_no_weights_make_weak_evidence(tmp_path: Path):
    model = write(tmp_path / "a.onnx", "g (float[N,8] x) => (float[N,8] y) { y = Relu(x) }")
    assert any("weak evidence" in note for note in examine(model, model).notes)


@pytest.mark.parametrize(
    ("text", "value"), [("n = Sub(x, x)  y = Div(n, n)", "nan"), ("n = Sub(x, x)  y = Exp(n)", "1.0")]
)
def test_an_output_that_says_nothing_is_named(tmp_path: Path, text: str, value: str):
    model = write(tmp_path / "a.onnx", "g (float[N,8] x) => (float[N,8] y, float[N,8] z) { " + text + "  z = Relu(x) }")
    said, other = examine(model, model).outputs
    assert f"it is {value} throughout" in said.note and not other.note


def test_inputs_that_memory_does_not_hold(tmp_path: Path):
    """It is said at once, not after half a minute of filling them."""
    model = write(tmp_path / "a.onnx", "g (float[1,2,400000,400000] x) => (float[1,2,400000,400000] y) { y = Relu(x) }")
    start = time.monotonic()
    result = verify(model, model)
    assert time.monotonic() - start < 20
    assert result.verdict == "unverified" and "[1, 2, 400000, 400000]" in result.notes[0] and "GB" in result.notes[0]


def test_a_loop_without_end_is_given_up_in_a_tenth_of_the_budget(tmp_path: Path):
    model = endless(tmp_path)
    start = time.monotonic()
    result = verify(model, model, budget=20.0)
    assert time.monotonic() - start < 20
    assert result.verdict == "unverified" and "did not end within 2 s" in result.notes[0]
