"""The rule by which two results are judged."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from surgery.equivalence.compare import EXACT, REFERENCE, RULES, Rule, canonical, distance, tied
from surgery.equivalence.taps import Tap

F32 = RULES["float"]


def floats(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


def test_equal_values_have_no_distance():
    d = distance(floats(1, -2, 0), floats(1, -2, 0), F32)
    assert d.ok and (d.max_abs, d.max_rel, d.cosine, d.outside) == (0, 0, 1, 0)
    assert d.peak == 2


@pytest.mark.parametrize(
    ("off", "ok"), [(1e-5, True), (9e-5, True), (3e-4, False)], ids=["rounding", "just within", "beyond"]
)
def test_the_tolerance_grows_with_the_element(off: float, ok: bool):
    assert distance(floats(1, 0.5), floats(1 + off, 0.5), F32).ok is ok


def test_small_elements_are_judged_by_the_largest():
    assert distance(floats(1, 1e-6), floats(1, 8e-6), F32).ok
    assert not distance(floats(1, 1e-6), floats(1, 8e-5), F32).ok


def test_the_floor_widens_the_tolerance():
    a, b = floats(1, 0), floats(1, 3e-5)
    assert not distance(a, b, F32).ok
    assert distance(a, b, F32, floor=1e-5).ok


def test_what_is_reported():
    d = distance(floats(1, 2, 4, 0), floats(1, 2.5, 4, 0), F32)
    assert d.max_abs == 0.5 and d.max_rel == 0.25 and d.outside == 0.25
    assert 0.99 < d.cosine < 1
    assert d.why == "1 of 4 elements are beyond the tolerance"


def test_of_what_is_all_but_zero_no_angle_is_told():
    x = np.array([1e-8, 2e-8, 1e-7], np.float32)
    gap = distance(x, x[::-1].copy(), Rule(atol=1e-6))
    assert gap.ok and (gap.max_rel, gap.cosine) == (0, 1) and gap.max_abs > 5e-8
    assert distance(x, x + 1, Rule()).cosine < 1


def test_the_users_tolerance_replaces_the_rule():
    rule = F32.given(None, 0.1)
    assert distance(floats(1, 0), floats(1.09, 0), rule).ok
    assert not distance(floats(1, 0), floats(1.2, 0), rule).ok
    assert F32.given(None, None) is F32


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("a", "b", "ok"),
    [
        (NAN, NAN, True),
        (NAN, 1.0, False),
        (1.0, NAN, False),
        (INF, INF, True),
        (INF, -INF, False),
        (INF, NAN, False),
        (INF, 3e38, False),
    ],
)
def test_nan_and_infinities_keep_their_places(a: float, b: float, ok: bool):
    d = distance(floats(1, a), floats(1, b), F32)
    assert d.ok is ok
    assert d.outside == (0 if ok else 0.5)


def test_metrics_are_over_what_is_finite_on_both_sides():
    d = distance(floats(NAN, 1, INF), floats(NAN, 1.5, INF), F32)
    assert d.max_abs == 0.5 and not np.isnan(d.cosine)


def test_large_floats_do_not_overflow():
    d = distance(floats(3e38, -3e38), floats(-3e38, 3e38), F32)
    assert d.cosine == pytest.approx(-1) and np.isfinite(d.max_abs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_exact_asks_for_value_and_sign(dtype: type):
    zero, minus = np.asarray([0.0], dtype), np.asarray([-0.0], dtype)
    assert distance(zero, zero, EXACT).ok
    assert not distance(zero, minus, EXACT).ok
    assert distance(zero, minus, F32).ok


def test_exact_does_not_ask_for_the_payload_of_nan():
    a = np.asarray([0x7FC00000, 0x3F800000], np.uint32).view(np.float32)
    b = np.asarray([0x7FC00001, 0x3F800000], np.uint32).view(np.float32)
    assert distance(a, b, EXACT).ok
    assert distance(a, b, F32).ok


def test_exact_sees_the_last_bit():
    assert not distance(floats(1), np.nextafter(floats(1), floats(2)), EXACT).ok


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.asarray([1, 2], np.int64), np.asarray([1, 3], np.int64)),
        (np.asarray([True, False]), np.asarray([True, True])),
        (np.asarray(["a", "b"], object), np.asarray(["a", "c"], object)),
    ],
    ids=["integers", "booleans", "strings"],
)
def test_what_is_no_float_must_be_equal(a: np.ndarray, b: np.ndarray):
    assert distance(a, a.copy(), F32).ok
    d = distance(a, b, F32)
    assert not d.ok and d.outside == 0.5


def test_large_integers_are_compared_as_integers():
    a = np.asarray([2**62], np.int64)
    assert not distance(a, a + 1, F32).ok


def test_shape_dtype_and_kind():
    assert distance(floats(1, 2), floats(1, 2).reshape(1, 2), F32).structural
    assert distance(floats(1), np.asarray([1.0]), F32).why == "float32 became float64"
    assert distance(floats(1), None, F32).why == "a tensor became nothing"
    assert distance(None, None, F32).ok
    assert distance([floats(1)], floats(1), F32).structural or not distance([floats(1)], floats(1), F32).ok


def test_sequences_and_maps():
    a = [floats(1, 2), floats(3)]
    assert distance(a, [floats(1, 2), floats(3)], F32).ok
    assert distance(a, [floats(1, 2)], F32).why == "2 elements became 1"
    assert not distance(a, [floats(1, 2), floats(4)], F32).ok
    assert distance([{"x": 0.5}], [{"x": 0.5}], F32).ok
    assert not distance([{"x": 0.5}], [{"y": 0.5}], F32).ok


def test_nothing_in_it():
    empty = np.zeros((0, 3), np.float32)
    assert distance(empty, empty, F32).ok
    assert not distance(empty, np.zeros((1, 3), np.float32), F32).ok


def test_scalars_and_complex():
    assert distance(np.float32(1), np.float32(1), F32).ok
    assert not distance(np.float32(1), np.float32(2), F32).ok
    z = np.asarray([1 + 2j], np.complex64)
    assert distance(z, z.copy(), F32).ok and not distance(z, z.conj(), F32).ok


def test_narrow_types_have_rules_of_their_own():
    a = np.asarray([1.0], np.float16)
    b = np.nextafter(a, np.asarray([2.0], np.float16))
    assert distance(a, b, RULES["float16"]).ok and not distance(a, b, F32).ok


def test_a_reference_of_another_framework_is_judged_more_widely():
    assert distance(floats(1, 0), floats(1.0005, 5e-5), REFERENCE).ok
    assert not distance(floats(1, 0), floats(1, 5e-4), REFERENCE).ok


SOFTMAX = Tap("y", "logits", "Softmax", axis=-1)


def test_a_shift_of_logits_is_no_difference():
    logits = np.asarray([[1.0, 2.0, 5.0]], np.float32)
    assert distance(canonical(SOFTMAX, logits), canonical(SOFTMAX, logits + 8), F32).ok
    assert not distance(canonical(SOFTMAX, logits), canonical(SOFTMAX, logits * 1.01), F32).ok


def test_saturated_logits_of_a_sigmoid_are_no_difference():
    sigmoid = Tap("y", "logits", "Sigmoid")
    assert distance(canonical(sigmoid, floats(500, 1)), canonical(sigmoid, floats(88, 1)), F32).ok


def test_ties_may_be_picked_otherwise():
    tap = Tap("y", "scores", "ArgMax", axis=1, picks="y", keepdims=False)
    scores = np.asarray([[0.5, 0.5 + 1e-7, 0.1], [0.9, 0.2, 0.1]], np.float32)
    before = np.asarray([1, 0])
    assert tied(tap, scores, before, np.asarray([0, 0]), F32, 0.0)
    assert not tied(tap, scores, before, np.asarray([1, 1]), F32, 0.0)
    assert not tied(tap, scores, before, np.asarray([7, 0]), F32, 0.0)
    assert not tied(tap, scores, before, np.asarray([0, 0]), Rule(exact=True), 0.0)


def test_topk_may_swap_equals():
    tap = Tap("y", "scores", "TopK", axis=-1, picks="y")
    scores = np.asarray([[3.0, 3.0, 1.0, 2.0]], np.float32)
    assert tied(tap, scores, np.asarray([[0, 1]]), np.asarray([[1, 0]]), F32, 0.0)
    assert not tied(tap, scores, np.asarray([[0, 1]]), np.asarray([[0, 3]]), F32, 0.0)
