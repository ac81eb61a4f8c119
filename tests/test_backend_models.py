"""Our passes over the models of the onnx wheel's own backend tests: equal or untouched, and none crashes."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from _onnx_cases import cases

from surgery import Close, Refused, registry
from surgery.model import from_proto
from surgery.passes import run_pass

PASSES = ("hardswish", "hardswish:form=clip", "gridsample")
SAMPLE, SHARDS = 150, 8


@functools.cache
def by_name() -> dict[str, Any]:
    return {case.name: case for case in cases()}


def sample() -> list[str]:
    """A seeded draw, and all that a pass has something to do with."""
    names = sorted(by_name())
    drawn = set(random.Random(20).sample(names, SAMPLE))
    return [n for n in names if n in drawn or "hardswish" in n or "gridsample" in n]


def sound(model: onnx.ModelProto) -> bool:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:  # of several kinds; some models of the suite do not pass themselves
        return False
    return True


def run(model: onnx.ModelProto, inputs: Any) -> list[Any] | None:
    """The results of ONNX Runtime, None where it can't run the model."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        results: list[Any] = session.run(None, dict(zip(names, inputs, strict=False)))
    except Exception:  # the runtime raises its own kinds
        return None
    return results


def load(model: onnx.ModelProto) -> ir.Model | None:
    """The model for editing; None where it is refused by name."""
    try:
        return from_proto(model)
    except Refused:
        return None


def compare(case: Any, text: str) -> bool:
    """Run a pass over a case; whether it found a place."""
    before: onnx.ModelProto = case.model
    whole = before.SerializeToString()
    model = load(before)
    if model is None:
        return False
    untouched = ir.to_proto(model).SerializeToString()
    one = registry.make(text)
    edited, report = run_pass(model, one)
    after = ir.to_proto(edited)
    assert before.SerializeToString() == whole
    if not report.places:
        assert after.SerializeToString() == untouched, "a pass that found nothing has changed it"
        return False
    if sound(before):
        onnx.checker.check_model(after, full_check=True)
    for inputs, outputs in case.data_sets or ():
        results = run(after, inputs)
        expected = run(before, inputs)
        if expected is None:
            expected = list(outputs)
        if results is None:
            assert run(before, inputs) is None, "the runtime ran it before"
            continue
        assert isinstance(one.contract, Close)
        for new, good in zip(results, expected, strict=True):
            assert (new.shape, new.dtype) == (good.shape, good.dtype)
            np.testing.assert_allclose(new, good, rtol=1e-4, atol=2e-5 if new.dtype != np.float16 else 5e-3)
    return True


def check(names: list[str]) -> dict[str, int]:
    """Run all passes over cases; how many places each had, and every failure with its case."""
    places = dict.fromkeys(PASSES, 0)
    failed = []
    for name in names:
        for text in PASSES:
            try:
                places[text] += compare(by_name()[name], text)
            except Exception as error:  # told with the others
                failed.append(f"{name} / {text}: {type(error).__name__}: {str(error)[:300]}")
    assert not failed, "\n".join([f"{len(failed)} failed:", *failed])
    return places


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def test_a_sample() -> None:
    places = check(sample())
    assert places["hardswish"] >= 1
    assert places["gridsample"] >= 18


@pytest.mark.backend_all
@pytest.mark.parametrize("shard", range(SHARDS))
def test_all(shard: int) -> None:
    assert len(cases()) > 1500
    check(sorted(by_name())[shard::SHARDS])
