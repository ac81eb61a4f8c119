"""The pass `gridsample-fuse` on 200 samplers with one thing changed: none may become what it is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests._fusing import fused, images_and_grids, runner

torch = pytest.importorskip("torch", reason="torch exports these samplers")

SWAPPED = ("Sub", "Div", "Less", "Greater", "Where", "Add", "Mul")
OTHERS = {"Sub": "Add", "Add": "Sub", "Mul": "Div", "Div": "Mul", "Less": "Greater", "Greater": "Less", "Floor": "Ceil"}
OTHERS |= {"Ceil": "Floor", "Round": "Floor", "GreaterOrEqual": "Greater", "LessOrEqual": "Less", "And": "Or"}


def change(model: onnx.ModelProto, draw: np.random.Generator) -> str:
    """Change one thing of a model in place; says what."""
    graph = model.graph
    constants = [n for n in graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]
    while True:
        node = graph.node[draw.integers(len(graph.node))]
        match draw.integers(5):
            case 0 if constants:  # a constant is off: by one, by a tenth, in its sign
                held = constants[draw.integers(len(constants))]
                value = numpy_helper.to_array(held.attribute[0].t)
                if value.size == 0 or value.dtype.kind not in "fi":
                    continue
                flat = value.flatten()
                at = draw.integers(flat.size)
                step = draw.choice([1, -1, 2]) if value.dtype.kind == "i" else draw.choice([1, -1, 0.1, 0.01])
                flat[at] = -flat[at] if flat[at] and draw.random() < 0.2 else flat[at] + value.dtype.type(step)
                held.attribute[0].t.CopyFrom(numpy_helper.from_array(flat.reshape(value.shape)))
                return f"{held.output[0]}: {value.flat[at]} is {flat[at]}"
            case 1 if node.op_type in SWAPPED:  # operands change places
                node.input[-2], node.input[-1] = node.input[-1], node.input[-2]
                return f"{node.name}: swapped"
            case 2 if node.op_type in OTHERS:  # another operator
                node.op_type = OTHERS[node.op_type]
                return f"{node.name}: {node.op_type}"
            case 3 if node.op_type in ("Where", "Clip", "Floor", "Min", "Max"):  # one that is left out
                kept = node.input[-1] if node.op_type == "Where" else node.input[0]
                for other in graph.node:
                    for i, name in enumerate(other.input):
                        if name == node.output[0]:
                            other.input[i] = kept
                return f"{node.name}: left out"
            case 4:  # what a node reads comes from another of the same operator
                alike = [n for n in graph.node if n.op_type == node.op_type and n is not node and n.input]
                if node.input and alike:
                    other = alike[draw.integers(len(alike))]
                    i = draw.integers(min(len(node.input), len(other.input)))
                    if node.input[i] != other.input[i]:
                        node.input[i] = other.input[i]
                        return f"{node.name}: input {i} is {other.input[i]}"


def samplers() -> list[onnx.ModelProto]:
    from fixtures._arithmetic import alone, decomposed, gathered

    return [
        alone(gathered(False), 11, free=True),
        alone(gathered(True), 17, free=False),
        alone(decomposed(0, 1, False), 17, free=False),
        alone(decomposed(1, 0, True), 17, free=False),
    ]


def runs(run: Callable[..., np.ndarray], free: bool) -> list[np.ndarray | None]:
    """Results at several sizes, on grids within the image and far outside; None where it does not run."""
    results: list[np.ndarray | None] = []
    for sizes in ((2, 3, 8, 10, 6, 7), *([(1, 3, 5, 13, 9, 4)] if free else [])):
        for scale in (0.4, 1, 8):
            image, grid = images_and_grids(int(10 * scale), *sizes)
            try:
                results.append(run(image, (scale * grid).astype(np.float32)))
            except Exception:  # the runtime raises its own kinds
                results.append(None)
    return results


def test_no_near_miss_is_taken_for_a_sampler() -> None:
    whole = samplers()
    outcomes = {"left": 0, "fused": 0}
    for seed in range(200):
        draw = np.random.default_rng(seed)
        number = seed % len(whole)
        before = onnx.ModelProto()
        before.CopyFrom(whole[number])
        what = change(before, draw)
        try:
            old = runner(before)
        except Exception:  # a graph that no runtime loads: a circle, say
            outcomes["left"] += 1
            continue
        after, report = fused(before)
        outcomes["fused" if report.places else "left"] += 1
        if report.places:  # then what was changed must not matter
            free = number == 0
            for a, b in zip(runs(old, free), runs(runner(after), free), strict=True):
                if a is not None:
                    assert b is not None
                    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4, err_msg=f"seed {seed}, {what}")
    # Most changes do matter, and the pass is not blind: some do not, as of a clip that a mask repeats.
    assert outcomes["left"] > 100, outcomes
    assert outcomes["fused"] > 10, outcomes
