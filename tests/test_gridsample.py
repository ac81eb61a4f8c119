"""The pass `gridsample` against torch, ONNX Runtime and the stored results of the onnx wheel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from _onnx_cases import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper

from rewrites.passes.gridsample import GridSample
from surgery.passes import run_pass

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
    if all(value.type.tensor_type.HasField("shape") for value in after.graph.input):  # or the checker refuses
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


def node_tests() -> list[Any]:
    return [case for case in cases() if [node.op_type for node in case.model.graph.node] == ["GridSample"]]


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


# ------------------------------------------------- what the conformance tests leave out

Shapes = Callable[[Any, Any], Any]
SHAPES: dict[str, Shapes] = {
    "static": lambda x, g: (x, g),
    "batch": lambda x, g: (("n", *x[1:]), ("n", *g[1:])),
    "channels": lambda x, g: ((x[0], "c", *x[2:]), g),
    "size": lambda x, g: ((*x[:2], *"hwd"[: len(x) - 2]), g),
    "width": lambda x, g: ((*x[:-1], "w"), g),
    "points": lambda x, g: (x, (g[0], *"pqr"[: len(g) - 2], g[-1])),
    "all": lambda x, g: ((*"nchwd"[: len(x)],), ("n", *"pqr"[: len(g) - 2], g[-1])),
    "nothing": lambda x, g: ([None] * len(x), [None] * len(g)),
    "grid only": lambda x, g: (None, g),
    "image only": lambda x, g: (x, None),
}


def combinations(rank: int) -> list[tuple[str, str, int]]:
    return [how for how in COMBINATIONS if rank == 4 or how[0] != "bicubic"]


@pytest.mark.parametrize("known", SHAPES)
@pytest.mark.parametrize(
    "x, out", [((2, 3, 5, 8), (6, 4)), ((2, 13, 8, 5), (3, 7)), ((2, 2, 3, 6, 4), (3, 2, 5))], ids=str
)
def test_dynamic_dims(x: tuple[int, ...], out: tuple[int, ...], known: str) -> None:
    image, grid = draw(x, out)
    for how in combinations(len(x)):
        result = sampled(image, grid, 11, how, SHAPES[known](image.shape, grid.shape))
        np.testing.assert_allclose(result, by_torch(image, grid, *how), rtol=0, atol=1e-5, err_msg=f"{how}")


@pytest.mark.parametrize("known", ["static", "all"])
@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1), (2, 2), (1, 3, 1), (1, 1, 1)], ids=str)
def test_axes_of_one_pixel(size: tuple[int, ...], known: str) -> None:
    image, grid = draw((2, 3, *size), (9,) * len(size), reach=3)
    for how in combinations(2 + len(size)):
        result = sampled(image, grid, 13, how, SHAPES[known](image.shape, grid.shape))
        np.testing.assert_allclose(result, by_torch(image, grid, *how), rtol=0, atol=1e-5, err_msg=f"{how}")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("align", [0, 1])
def test_nearest_takes_the_pixel_of_torch_on_ties(padding: str, align: int) -> None:
    height, width = 4, 8
    image = np.arange(height * width, dtype=np.float32).reshape(1, 1, height, width)
    halves = np.arange(-12, 40) / 2  # every second one is a tie
    x = halves / (width - 1) * 2 - 1 if align else (halves * 2 + 1) / width - 1
    y = halves / (height - 1) * 2 - 1 if align else (halves * 2 + 1) / height - 1
    grid = np.stack(np.meshgrid(x, y), axis=-1)[None].astype(np.float32)
    how = ("nearest", padding, align)
    np.testing.assert_array_equal(sampled(image, grid, 16, how), by_torch(image, grid, *how))


# nearest and reflection meet the ties in which torch and ONNX Runtime differ: none are at -1.
@pytest.mark.parametrize("how", COMBINATIONS, ids=str)
@pytest.mark.parametrize("opset", [16, 20])
def test_values_that_are_not_finite_count_as_minus_one(how: tuple[str, str, int], opset: int) -> None:
    image, grid = draw((2, 3, 5, 4), (4, 4))
    grid[0, 0, :, 0] = [np.nan, np.inf, -np.inf, 5e18]
    grid[0, 1, :, 1] = [np.nan, np.inf, -np.inf, -1e30]
    grid[1, 2] = np.nan
    plain = np.where(np.abs(grid) < 5e18, grid, np.float32(-1))
    result = sampled(image, grid, opset, how)
    np.testing.assert_array_equal(result, sampled(image, plain, opset, how))
    mode, padding, align = how
    theirs = run(model(image.shape, grid.shape, opset, mode=mode, padding=padding, align=align), image, grid)
    np.testing.assert_allclose(result, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", COMBINATIONS, ids=str)
def test_far_grids(how: tuple[str, str, int]) -> None:
    image, grid = draw((2, 3, 37, 111), (20, 30), reach=1000)
    mode, padding, align = how
    if how == ("nearest", "reflection", 0):  # ONNX Runtime takes other pixels on ties, and torch agrees
        expected = by_torch(image, grid, *how)
    else:
        expected = run(model(image.shape, grid.shape, 16, mode=mode, padding=padding, align=align), image, grid)
    np.testing.assert_allclose(sampled(image, grid, 16, how), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", COMBINATIONS, ids=str)
@pytest.mark.parametrize("reach", [1e6, 1e12, 4e18])
def test_grids_farther_than_float32_counts_read_pixels_inside(how: tuple[str, str, int], reach: float) -> None:
    image, grid = draw((2, 3, 7, 11), (20, 30), reach=reach)
    result = sampled(image, grid, 11, how)
    if how[1] != "reflection":
        np.testing.assert_allclose(result, by_torch(image, grid, *how), rtol=0, atol=1e-5)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("opset", [11, 13, 14, 20])
@pytest.mark.parametrize(
    "x, out",
    [
        ((0, 3, 4, 5), (2, 3)),
        ((0, 13, 4, 5), (2, 3)),
        ((2, 0, 4, 5), (2, 3)),
        ((2, 3, 4, 5), (0, 3)),
        ((2, 13, 4, 5), (0, 3)),
        ((2, 3, 4, 5), (3, 0)),
        ((2, 13, 4, 5), (3, 0)),
        ((2, 3, 4, 5, 6), (2, 0, 3)),
    ],
    ids=str,
)
def test_empty_tensors(x: tuple[int, ...], out: tuple[int, ...], opset: int) -> None:
    image, grid = draw(x, out)
    known = ["static", "batch", "points", "all"]
    if opset < 14 and 0 in out:
        known = ["static", "batch"]  # a dim of 0 that is only known at run time can't be asked of Reshape
    for how in [("bilinear", "zeros", 0), ("nearest", "border", 1)]:
        for some in known:
            result = sampled(image, grid, opset, how, SHAPES[some](image.shape, grid.shape))
            assert result.shape == (*x[:2], *out), some


@pytest.mark.parametrize("x", [(2, 3, 9, 448), (2, 16, 9, 448)], ids=str)
def test_float16_reads_the_right_pixels(x: tuple[int, ...]) -> None:
    image, grid = (array.astype(np.float16) for array in draw(x, (40, 50)))
    for how in COMBINATIONS:
        exact = by_torch(image.astype(np.float32), grid.astype(np.float32), *how)
        result = sampled(image, grid, 13, how)
        assert result.dtype == np.float16
        np.testing.assert_allclose(result, exact, rtol=0, atol=2e-2 if how[0] == "bicubic" else 1e-2, err_msg=f"{how}")


def test_float64() -> None:
    image, grid = (array.astype(np.float64) for array in draw((2, 3, 9, 44), (40, 50)))
    for how in COMBINATIONS:
        result = sampled(image, grid, 11, how)
        np.testing.assert_allclose(result, by_torch(image, grid, *how), rtol=0, atol=1e-13, err_msg=f"{how}")


@pytest.mark.parametrize("dtypes", [("float16", "float32"), ("float32", "float16"), ("float64", "float32")])
def test_image_and_grid_of_two_dtypes(dtypes: tuple[str, str]) -> None:
    image, grid = (array.astype(dtype) for array, dtype in zip(draw((2, 3, 5, 8), (6, 4)), dtypes, strict=True))
    exact = by_torch(image.astype(np.float64), grid.astype(np.float64), "bilinear", "zeros", 0)
    result = sampled(image, grid, 16, ("bilinear", "zeros", 0))
    assert result.dtype == image.dtype
    np.testing.assert_allclose(result, exact, rtol=0, atol=3e-3 if "float16" in dtypes[0] else 1e-5)


@pytest.mark.parametrize("channels", [1, 12])
def test_more_pixels_than_float32_counts(channels: int) -> None:
    height, width = (4099, 4097) if channels == 1 else (1200, 1201)  # 2^24 and more
    image = np.zeros([1, channels, height, width], np.float32)
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, height, 50), rng.integers(0, width, 50)
    image[0, :, y, x] = value = np.arange(1, 51, dtype=np.float32)[:, None]
    value = image[0, :, y, x]
    grid = np.stack([x / (width - 1) * 2 - 1, y / (height - 1) * 2 - 1], axis=-1).astype(np.float32)[None, None]
    result = sampled(image, grid, 11, ("nearest", "zeros", 1))
    np.testing.assert_array_equal(result[0, :, 0].T, value)


@st.composite
def samplings(draw: st.DrawFn) -> tuple[Any, ...]:
    mode, padding, align = draw(st.sampled_from(COMBINATIONS))
    axes = 2 if mode == "bicubic" else draw(st.sampled_from([2, 3]))
    lengths = st.tuples(*[st.integers(1, 6)] * axes)
    x = (draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 12, 17])), *draw(lengths))
    image = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(x, np.float32)
    values = st.floats(-6, 6, width=32) | st.sampled_from([-1.0, 1.0, np.nan, np.inf, -np.inf, 1e19])
    grid = draw(arrays(np.float32, (x[0], *draw(lengths), axes), elements=values))
    return image, grid, draw(st.sampled_from(OPSETS)), (mode, padding, align), draw(st.sampled_from(list(SHAPES)))


@settings(max_examples=120, deadline=None)
@given(samplings())
def test_any_sampling(case: tuple[Any, ...]) -> None:
    image, grid, opset, how, known = case
    plain = np.where(np.abs(grid) < 5e18, grid, np.float32(-1))
    result = sampled(image, grid, opset, how, SHAPES[known](image.shape, grid.shape))
    expected = by_torch(image, plain, *how)
    if how[0] == "nearest":  # the last bit decides where torch fuses a product and a sum
        size = np.array(image.shape[:1:-1])
        exact = plain.astype(np.float64)
        pixels = (exact + 1) * (size - 1) / 2 if how[2] else ((exact + 1) * size - 1) / 2
        tie = (np.abs(np.abs(pixels - np.rint(pixels)) - 0.5) < 1e-4).any(axis=-1)[:, None]
        result, expected = (np.where(tie, 0, array) for array in (result, expected))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------ spellings


@pytest.mark.parametrize(
    "spelling",
    ["com.microsoft::GridSample", "GridSample", "mmcv::grid_sampler", "mmdeploy::grid_sampler", "GridSampler"],
)
def test_spellings(spelling: str) -> None:
    for x, out in [((2, 3, 5, 8), (6, 4)), ((2, 3, 3, 6, 4), (3, 2, 5))]:
        image, grid = draw(x, out)
        for how in combinations(len(x)):
            result = sampled(image, grid, 13, how, spelling=spelling)
            np.testing.assert_allclose(result, by_torch(image, grid, *how), rtol=0, atol=1e-5)


@pytest.mark.parametrize("known", ["static", "all"])
@pytest.mark.parametrize("x, out", [((2, 3, 5, 8), (6, 4)), ((2, 3, 3, 6, 4), (3, 2, 5))], ids=str)
@pytest.mark.parametrize("generation", ["", "2"])
def test_bevformer_has_the_coordinates_first_and_reaches_to_ten(
    x: tuple[int, ...], out: tuple[int, ...], known: str, generation: str
) -> None:
    image, grid = draw(x, out)
    first = np.ascontiguousarray(np.moveaxis(grid * 10, -1, 1))
    symbols = (image.shape, first.shape)
    if known == "all":
        symbols = ((*"nchwd"[: len(x)],), ("n", len(out), *"pqr"[: len(out)]))
    for how in combinations(len(x)):
        spelling = f"GridSampler{len(out)}DTRT{generation}"
        result = sampled(image, first, 13, how, symbols, spelling=spelling)
        expected = by_torch(image, np.moveaxis(first / np.float32(10), 1, -1), *how)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5, err_msg=f"{how}")


def test_defaults_of_the_attributes() -> None:
    image, grid = draw((1, 3, 5, 8), (6, 4))
    for opset, spelling in [(13, "mmcv::grid_sampler"), (13, "GridSample"), (16, "GridSample"), (22, "GridSample")]:
        plain = model(image.shape, grid.shape, opset, spelling=spelling)
        del plain.graph.node[0].attribute[:]
        np.testing.assert_allclose(
            run(lowered(plain), image, grid), by_torch(image, grid, "bilinear", "zeros", 0), rtol=0, atol=1e-5
        )


# ------------------------------------------------------------------ what is written


@pytest.mark.parametrize(
    "channels, gathers", [(3, "GatherElements"), (11, "GatherElements"), (12, "Gather"), ("c", "Gather")]
)
def test_rows_are_gathered_where_there_are_many_channels(channels: Any, gathers: str) -> None:
    after = lowered(model((1, channels, 5, 8), (1, 6, 4, 2)))
    kinds = [node.op_type for node in after.graph.node if node.op_type.startswith("Gather")]
    assert kinds == [gathers] * 4


@pytest.mark.parametrize("x", [(1, 3, 32, 100), (1, 64, 32, 100)], ids=str)
def test_a_constant_grid_leaves_numbers_and_weights(x: tuple[int, ...]) -> None:
    image, grid = draw(x, (32, 100))
    after = lowered(model(image.shape, None, constant=grid))
    assert {node.op_type for node in after.graph.node} <= {
        "Reshape",
        "Transpose",
        "Flatten",
        "Gather",
        "GatherElements",
        "Mul",
        "Add",
    }
    assert len(after.graph.node) <= 17
    np.testing.assert_allclose(
        run(after, image, grid), by_torch(image, grid, "bilinear", "zeros", 0), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("indices", ["int32", "int64"])
@pytest.mark.parametrize("channels", [3, 16])
def test_the_dtype_of_indices(indices: Any, channels: int) -> None:
    image, grid = draw((2, channels, 5, 8), (6, 4))
    after = lowered(model(image.shape, grid.shape), indices=indices)
    casts = {helper.get_node_attr_value(node, "to") for node in after.graph.node if node.op_type == "Cast"}
    assert casts == {helper.np_dtype_to_tensor_dtype(np.dtype(indices))}
    np.testing.assert_allclose(
        run(after, image, grid), by_torch(image, grid, "bilinear", "zeros", 0), rtol=0, atol=1e-5
    )


def test_a_second_run_changes_nothing() -> None:
    after = lowered(model((1, 3, 5, 8), (1, 6, 4, 2)))
    again, report = run_pass(ir.from_proto(after), GridSample())
    assert report.places == 0 and not report.skipped
    assert ir.to_proto(again).SerializeToString() == ir.to_proto(ir.from_proto(after)).SerializeToString()


def test_an_image_read_by_others_and_a_sample_that_is_read_inside() -> None:
    before = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 16]>
        g (float[1, 3, 4, 5] X, float[1, 2, 6, 2] grid) => (float[1, 3, 2, 6] y, float[1, 3, 4, 5] x)
        { s = GridSample(X, grid)  t = GridSample<mode = "nearest">(X, grid)  y = Add(s, t)  x = Neg(X) }
    """)
    after, skipped = rewrite(before)
    onnx.checker.check_model(after, full_check=True)
    assert not skipped
    image, grid = draw((1, 3, 4, 5), (2, 6))
    np.testing.assert_allclose(run(after, image, grid), run(before, image, grid), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "before, why",
    [
        (model((1, 3, 4, 5), (1, 2, 6, 2), 10, spelling="mmcv::grid_sampler"), "opset 11"),
        (model((1, 3, 4, 5, 6), (1, 2, 6, 2, 3), mode="bicubic"), "4-D alone"),
        (model((1, 3, 4, 5), (1, 2, 6, 2), 16, mode="linear"), "no mode 'linear'"),
        (model((1, 3, 4, 5), (1, 2, 6, 2), 20, mode="trilinear"), "no mode 'trilinear'"),
        (model((1, 3, 4, 5), (1, 2, 6, 2), padding="zero"), "padding_mode 'zero'"),
        (model((1, 3, 4, 5), (1, 2, 6, 2), dtype=np.int32, grid_dtype=np.float32), "int32"),
        (model((1, 3, 4, 5), (1, 2, 6, 3)), "fit"),
        (model((2, 3, 4, 5), (1, 2, 6, 2)), "fit"),
        (model((1, 3, 4, 5), (1, 6, 2, 2), spelling="GridSampler2DTRT"), "fit"),
        (model((1, 3, 4, 5), (1, 2, 6, 2, 3)), "fit"),
        (model((1, 3, 4, 0), (1, 2, 6, 2)), "can't be sampled"),
        (model((1, 3, 4, 1 << 25), (1, 2, 6, 2)), "can't be sampled"),
        (model((1, 3, 1 << 16, 1 << 16), (1, 2, 6, 2)), "indices=int64"),
        (model((1, 3, 4), (1, 2, 1)), "rank is 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_skips(before: onnx.ModelProto, why: str) -> None:
    after, (reason,) = rewrite(before)
    assert why in reason
    assert [node.op_type for node in after.graph.node] == [before.graph.node[0].op_type]


def test_unknown_rank_and_dtype_and_inputs_are_skipped() -> None:
    before = model((1, 3, 4, 5), (1, 2, 6, 2), 13)
    for value in (*before.graph.input, *before.graph.output):
        value.type.tensor_type.ClearField("shape")
    assert "rank is unknown" in rewrite(before)[1][0]
    before = model((1, 3, 4, 5), (1, 2, 6, 2), 13, spelling="GridSampler")
    before.graph.node[0].input.append("X")
    assert "two inputs" in rewrite(before)[1][0]
