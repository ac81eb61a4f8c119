"""The pass `gridsample` against torch, ONNX Runtime and the stored results of the onnx wheel."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import helper

from rewrites.passes.gridsample import GridSample
from surgery.engine import run_pass

OPSETS = (11, 13, 16, 20, 22)
MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
NEWER = {"bilinear": "linear", "bicubic": "cubic"}
COMBINATIONS = list(itertools.product(MODES, PADDINGS, (0, 1)))


# -------------------------------------------------------------------------- helpers


def model(
    image: Any,
    grid: Any,
    opset: int = 16,
    *,
    mode: str = "bilinear",
    padding: str = "zeros",
    align: int = 0,
    spelling: str = "",
    constant: np.ndarray | None = None,
    dtype: Any = np.float32,
    grid_dtype: Any = None,
) -> onnx.ModelProto:
    """A model of one GridSample. Shapes may have symbols or be None.

    `spelling` is the operator with its domain; without one it is GridSample, of com.microsoft before opset 16.
    """
    domain, _, op_type = (spelling or ("com.microsoft::GridSample" if opset < 16 else "GridSample")).rpartition("::")
    if op_type == "GridSample":
        named: dict[str, Any] = {"mode": NEWER.get(mode, mode) if opset >= 20 and not domain else mode}
        named |= {"padding_mode": padding, "align_corners": align}
    else:
        names = ["interpolation_mode", "padding_mode", "align_corners"]
        if op_type == "GridSampler":
            names = [name.replace("_", "") for name in names]
        named = dict(zip(names, (MODES.index(mode), PADDINGS.index(padding), align), strict=True))
    element, of_grid = (helper.np_dtype_to_tensor_dtype(np.dtype(d)) for d in (dtype, grid_dtype or dtype))
    inputs = [helper.make_tensor_value_info("X", element, image)]
    initializers = []
    if constant is None:
        inputs.append(helper.make_tensor_value_info("grid", of_grid, grid))
    else:
        initializers.append(onnx.numpy_helper.from_array(constant, "grid"))
    graph = helper.make_graph(
        [helper.make_node(op_type, ["X", "grid"], ["y"], "sample", domain=domain, **named)],
        "g",
        inputs,
        [helper.make_tensor_value_info("y", element, [None] * len(image or grid or "abcd"))],
        initializers,
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def rewrite(before: onnx.ModelProto, **options: Any) -> tuple[onnx.ModelProto, list[str]]:
    """The model after the pass, and why it skipped what it skipped."""
    after, report = run_pass(ir.from_proto(before), GridSample(**options))
    return ir.to_proto(after), [skipped.why for skipped in report.skipped]


def lowered(before: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    """The model after the pass, which must be one that holds standard operators of its opset alone."""
    after, skipped = rewrite(before, **options)
    assert not skipped
    assert all(node.domain == "" and node.op_type != "GridSample" for node in after.graph.node)
    onnx.checker.check_model(after, full_check=True)
    return after


def run(proto: onnx.ModelProto, image: np.ndarray, grid: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"X": image, "grid": grid}
    result: np.ndarray = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})[0]
    return result


def by_torch(image: np.ndarray, grid: np.ndarray, mode: str, padding: str, align: int) -> np.ndarray:
    torch = pytest.importorskip("torch")
    x, g = torch.from_numpy(image), torch.from_numpy(grid)
    result = torch.nn.functional.grid_sample(x, g, mode, padding, bool(align))
    return np.asarray(result)


def sampled(
    image: np.ndarray, grid: np.ndarray, opset: int, how: tuple[str, str, int], symbols: Any = None, **more: Any
) -> np.ndarray:
    """The image sampled by the lowered model, whose dims are those of the arrays unless `symbols` names them."""
    mode, padding, align = how
    x, g = symbols or (image.shape, grid.shape)
    more = dict(dtype=image.dtype, grid_dtype=grid.dtype) | more
    return run(lowered(model(x, g, opset, mode=mode, padding=padding, align=align, **more)), image, grid)


def draw(x: tuple[int, ...], out: tuple[int, ...], seed: int = 0, reach: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.standard_normal(x, np.float32)
    return image, rng.uniform(-reach, reach, (x[0], *out, len(x) - 2)).astype(np.float32)


# ---------------------------------------------------------------------- conformance


@cache
def node_tests() -> list[Any]:
    with np.errstate(all="ignore"):
        from onnx.backend.test.case.node import collect_testcases

        return list(collect_testcases("GridSample"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("opset", OPSETS)
def test_node_tests_of_the_onnx_wheel(opset: int) -> None:
    names = []
    for case in node_tests():
        (node,) = case.model.graph.node
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        mode = given.get("mode", b"linear").decode()
        mode = next((old for old, new in NEWER.items() if new == mode), mode)
        how = (mode, given.get("padding_mode", b"zeros").decode(), given.get("align_corners", 0))
        for (image, grid), (expected,) in case.data_sets:
            result = sampled(image, grid, opset, how)
            # The expected values of test_gridsample_bicubic are written with four digits.
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4, err_msg=case.name)
        names.append(case.name)
    assert len(names) == 18


@cache
def samples_of_torch(name: str) -> list[tuple[np.ndarray, np.ndarray, tuple[str, str, int]]]:
    torch = pytest.importorskip("torch")
    pytest.importorskip("expecttest", reason="torch's own tests need expecttest")
    from torch.testing._internal.common_methods_invocations import op_db

    (operator,) = (found for found in op_db if found.name == name)
    samples = []
    for sample in operator.sample_inputs("cpu", torch.float32):
        grid, *rest = sample.args
        if sample.kwargs:
            how = tuple(sample.kwargs[k] for k in ("mode", "padding_mode", "align_corners"))
        else:
            how = (MODES[rest[0]], PADDINGS[rest[1]], rest[2])
        samples.append((sample.input.numpy(), grid.numpy(), (how[0], how[1], int(how[2]))))
    return samples


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    "name, count", [("nn.functional.grid_sample", 30), ("grid_sampler_2d", 18), ("grid_sampler_3d", 30)]
)
def test_samples_of_torch(name: str, count: int, opset: int) -> None:
    samples = samples_of_torch(name)
    assert len(samples) == count
    for image, grid, how in samples:
        result, expected = sampled(image, grid, opset, how), by_torch(image, grid, *how)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4, err_msg=f"{image.shape} {how}")
