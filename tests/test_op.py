"""`op` takes the newest spelling and writes what the model's opset knows: legal, and with the same results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from surgery.edit import Edit
from surgery.errors import Refused
from surgery.op import Op
from surgery.views import Skip, Value

OLDEST, NEWEST = 9, 26  # the newest that onnxruntime 1.31 runs; onnx 1.23 knows 28
RNG = np.random.default_rng(7)
INF, NAN = float("inf"), float("nan")


def normal(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def array_of(dtype: Any) -> Callable[[Any], np.ndarray]:
    return lambda values: np.array(values, dtype)


f32, f64, i64, i8, u8 = map(array_of, (np.float32, np.float64, np.int64, np.int8, np.uint8))


def start(inputs: Sequence[np.ndarray], opset: int) -> tuple[ir.Model, Op, list[Value]]:
    """A model of one node that a test replaces; what writes in front of it, and the inputs."""
    declared = [
        helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for i, x in enumerate(inputs)
    ]
    graph = onnx.GraphProto(name="g", input=declared)
    graph.node.append(helper.make_node("Place", [v.name for v in declared], ["y"], domain="t", name="place"))
    graph.output.append(onnx.ValueInfoProto(name="y"))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("t", 1)])
    proto.ir_version = 8 if opset < 21 else 10
    model = ir.from_proto(proto)
    edit = Edit(model)
    op = Op(edit, model.graph[0], model.opset_imports)
    return model, op, [Value(v, edit) for v in model.graph.inputs]


def finish(model: ir.Model, op: Op, values: Any) -> onnx.ModelProto:
    """The model with `values` as its outputs, checked in full."""
    proto = onnx.shape_inference.infer_shapes(build(model, op, values), data_prop=True)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def build(model: ir.Model, op: Op, values: Any) -> onnx.ModelProto:
    """The model with `values` as its outputs, whose types are not declared."""
    values = values if isinstance(values, list) else [values]
    (place,) = [n for n in model.graph if n.op_type == "Place"]
    landed = op.finish(values)
    model.graph.outputs.clear()
    for i, value in enumerate(landed):
        node = ir.node("Identity", [value])
        node.outputs[0].name = f"y{i}"
        model.graph.append(node)
        model.graph.outputs.append(node.outputs[0])
    model.graph.remove(place, safe=True)
    return ir.to_proto(model)


def run(proto: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, {f"x{i}": x for i, x in enumerate(inputs)})
    return results


NOT_IMPLEMENTED = ort.capi.onnxruntime_pybind11_state.NotImplemented


class Case(NamedTuple):
    name: str
    write: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    since: int = OLDEST  # the first opset at which it can be said
    rounding: float = 0.0  # where the older spelling rounds otherwise


X = normal(2, 3, 4, 5)
SPECIAL = np.array([NAN, 1.0, -INF, INF, -0.0, 2.0, NAN, 3.0], np.float32)
OTHER = np.array([1.0, NAN, -INF, 2.0, 0.0, 2.0, NAN, -3.0], np.float32)
INTS = np.array([[-5, 0, 7], [3, -2, 2**31 - 1]], np.int32)
LONGS = np.array([[-5, 0, 7], [3, -2, 2**40]], np.int64)
SMALL = normal(4, 5)
UNIQUE = RNG.permutation(24).reshape(2, 3, 4).astype(np.float32)

CASES = [
    Case("Squeeze axes", lambda op, x: op.Squeeze(x, [-2]), (normal(3, 1, 2),)),
    Case("Squeeze", lambda op, x: op.Squeeze(x), (normal(3, 1, 2),)),
    Case("Unsqueeze", lambda op, x: op.Unsqueeze(x, [0, -1]), (SMALL,)),
    *(
        Case(
            f"{kind} axes", lambda op, x, kind=kind: op.call(kind, [x, [-1, 1]], {"keepdims": 0}), (np.abs(X),), 9, 1e-6
        )
        for kind in ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")
    ),
    *(
        Case(f"{kind} all", lambda op, x, kind=kind: op.call(kind, [x], {}), (np.abs(X),), 9, 1e-6)
        for kind in ("ReduceSum", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ReduceMean")
    ),
    Case("ReduceSum empty axes", lambda op, x: op.ReduceSum(x, []), (SMALL,), 9, 1e-6),
    Case("ReduceSum noop", lambda op, x: op.ReduceSum(x, [], noop_with_empty_axes=1), (SMALL,)),
    Case("ReduceSum noop absent", lambda op, x: op.ReduceSum(x, noop_with_empty_axes=1), (SMALL,)),
    *[
        Case(
            f"{kind} noop {axes}",
            lambda op, x, k=kind, a=axes: getattr(op, k)(op.Abs(x), *a, noop_with_empty_axes=1),
            (SMALL,),
            9,
            1e-6,
        )
        for kind in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd")
        for axes in ((), ([],))
    ],
    Case("ReduceMean noop", lambda op, x: op.ReduceMean(x, [1], noop_with_empty_axes=1), (SMALL,), 9, 1e-6),
    Case("Split even", lambda op, x: op.Split(x, num_outputs=2, axis=-1), (normal(3, 6),)),
    Case("Split uneven", lambda op, x: op.Split(x, num_outputs=3, axis=0), (normal(7, 2),)),
    Case("Split sizes", lambda op, x: op.Split(x, [1, 4], axis=1), (normal(2, 5),)),
    Case("Clip", lambda op, x: op.Clip(x, -0.5, 0.5), (X,)),
    Case("Clip NaN", lambda op, x: op.Clip(x, -0.5, 0.5), (SPECIAL,)),
    Case("Clip low", lambda op, x: op.Clip(x, 0.25), (X,)),
    Case("Clip high", lambda op, x: op.Clip(x, None, 0.25), (X,)),
    Case(
        "Clip by values",
        lambda op, x, a, b: op.Clip(x, a, b),
        (X, np.array(-0.1, np.float32), np.array(0.2, np.float32)),
    ),
    Case("Clip double", lambda op, x: op.Clip(x, 0.1, 0.3), (normal(3, 3, dtype=np.float64),)),
    Case("Clip int32", lambda op, x: op.Clip(x, -3, 4), (INTS,)),
    Case("Clip int64", lambda op, x: op.Clip(x, None, 4), (LONGS,)),
    Case("Max int32", lambda op, x: op.Max(x, 2), (INTS,)),
    Case("Min int64", lambda op, x, y: op.Min(x, y, 3), (LONGS, LONGS[::-1].copy())),
    Case("Max", lambda op, x, y: op.Max(x, y), (SPECIAL, OTHER)),
    Case("Max broadcast", lambda op, x, y: op.Max(x, y), (normal(2, 1, 3), normal(4, 1))),
    Case("Relu int32", lambda op, x: op.Relu(x), (INTS,)),
    Case("Relu", lambda op, x: op.Relu(x), (SPECIAL,)),
    *(
        Case(f"{kind} NaN", lambda op, x, y, kind=kind: op.call(kind, [x, y], {}), (SPECIAL, OTHER))
        for kind in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
    ),
    *(
        Case(f"{kind} literal", lambda op, x, kind=kind: op.call(kind, [x, 2.0], {}), (SPECIAL,))
        for kind in ("Equal", "LessOrEqual", "GreaterOrEqual")
    ),
    Case("Equal int64", lambda op, x: op.Equal(x, 3), (LONGS,)),
    Case("LessOrEqual int32", lambda op, x: op.LessOrEqual(x, 3), (INTS,)),
    Case("Pad", lambda op, x: op.Pad(x, [1, 0, 2, 1], 0.5), (SMALL,)),
    Case("Pad axes", lambda op, x: op.Pad(x, [1, 2], 0.5, [-1]), (SMALL,)),
    Case("Pad no value", lambda op, x: op.Pad(x, [1, 2], None, [0]), (SMALL,)),
    Case("Pad negative", lambda op, x: op.Pad(x, [-1, 0, 1, -2]), (SMALL,)),
    Case("Pad edge", lambda op, x: op.Pad(x, [1, 2], None, [0], mode="edge"), (SMALL,)),
    Case("Pad reflect", lambda op, x: op.Pad(x, [1, 2], None, [1], mode="reflect"), (SMALL,)),
    Case("Pad wrap", lambda op, x: op.Pad(x, [1, 2, 0, 1], mode="wrap"), (SMALL,), 19),
    Case("Slice", lambda op, x: op.Slice(x, [1, -2], [3, 9], [0, -1]), (SMALL,)),
    Case("Slice no axes", lambda op, x: op.Slice(x, [1, 1], [3, 2]), (SMALL,)),
    Case("Slice step 1", lambda op, x: op.Slice(x, [1], [3], [0], [1]), (SMALL,)),
    Case("Slice back", lambda op, x: op.Slice(x, [-1], [-9], [1], [-2]), (SMALL,), 10),
    Case("TopK", lambda op, x: op.TopK(x, [2], axis=-1, outputs=2), (UNIQUE,)),
    Case("TopK axis", lambda op, x: op.TopK(x, [2], axis=1, outputs=2), (UNIQUE,)),
    Case("TopK smallest", lambda op, x: op.TopK(x, [2], largest=0, outputs=2), (UNIQUE,), 11),
    *(
        Case(
            f"{kind} axis {axis}",
            lambda op, x, kind=kind, axis=axis: op.call(kind, [x], {"axis": axis}),
            (UNIQUE,),
            9,
            1e-6,
        )
        for kind in ("Softmax", "LogSoftmax", "Hardmax")
        for axis in (-1, 0, 1, -2)
    ),
    Case("Softmax", lambda op, x: op.Softmax(x), (X,), 9, 1e-6),
    Case("Shape", lambda op, x: op.Shape(x), (X,)),
    Case("Shape part", lambda op, x: op.Shape(x, start=1, end=-1), (X,)),
    Case("Shape end", lambda op, x: op.Shape(x, start=-2), (X,)),
    Case("CastLike", lambda op, x, y: op.CastLike(x, y), (INTS, SMALL)),
    Case("Gemm", lambda op, a, b: op.Gemm(a, b, transB=1), (normal(2, 3), normal(4, 3)), 9, 1e-6),
    Case("Gemm C", lambda op, a, b, c: op.Gemm(a, b, c), (normal(2, 3), normal(3, 4), normal(4)), 9, 1e-6),
    Case("Resize scales", lambda op, x: op.Resize(x, None, [1, 1, 2, 1.5], mode="linear"), (X,), 11, 1e-6),
    Case("Resize sizes", lambda op, x: op.Resize(x, None, None, [2, 3, 8, 3]), (X,), 11),
    Case(
        "Resize corners",
        lambda op, x: op.Resize(
            x, None, None, [2, 3, 7, 9], mode="cubic", coordinate_transformation_mode="align_corners"
        ),
        (X,),
        11,
        1e-5,
    ),
    Case("Resize axes", lambda op, x: op.Resize(x, None, None, [8, 10], axes=[2, 3]), (X,), 18),
    Case("Resize antialias", lambda op, x: op.Resize(x, None, [1, 1, 0.5, 0.5], mode="linear", antialias=1), (X,), 18),
    Case("Gather", lambda op, x: op.Gather(x, [2, 0], axis=-1), (SMALL,)),
    Case("Gather from the end", lambda op, x: op.Gather(x, [-1, 0, -4], axis=0), (SMALL,)),
    Case("Gather one", lambda op, x: op.Gather(x, -1, axis=-1), (SMALL,)),
    Case("GatherElements", lambda op, x, i: op.GatherElements(x, i, axis=1), (SMALL, i64([[0], [1], [2], [4]])), 11),
    Case("Concat", lambda op, x, y: op.Concat(x, y, axis=-2), (SMALL, normal(2, 5))),
    Case("Flatten", lambda op, x: op.Flatten(x, axis=-1), (X,)),
    Case("ArgMax", lambda op, x: op.ArgMax(x, axis=-2, keepdims=0), (UNIQUE,)),
    Case("ArgMin last", lambda op, x: op.ArgMin(x, select_last_index=1), (UNIQUE,), 12),
    Case("Pow", lambda op, x: op.Pow(x, 2.0), (X,), 9, 1e-6),
    Case("Pow int", lambda op, x: op.Pow(x, 3), (f32([1, 2, -3]),), 9, 1e-6),
    Case("Where", lambda op, c, x: op.Where(c, x, 0.5), (SMALL > 0, SMALL)),
    Case("HardSwish", lambda op, x: op.HardSwish(x), (X,), 9, 1e-6),
    Case("HardSigmoid", lambda op, x: op.HardSigmoid(x, alpha=1, beta=0), (X,)),
    Case("Celu", lambda op, x: op.Celu(x, alpha=0.5), (X,), 9, 1e-6),
    Case("Mish", lambda op, x: op.Mish(x), (X,), 9, 1e-6),
    Case("Swish", lambda op, x: op.Swish(x), (X,), 9, 1e-6),
    Case("Gelu", lambda op, x: op.Gelu(x), (X,), 9, 1e-6),
    Case("Gelu tanh", lambda op, x: op.Gelu(x, approximate="tanh"), (X,), 9, 1e-5),
    Case("ThresholdedRelu", lambda op, x: op.ThresholdedRelu(x, alpha=0.5), (X,)),
    Case("LayerNormalization", lambda op, x, s, b: op.LayerNormalization(x, s, b), (X, normal(5), normal(5)), 9, 1e-5),
    Case("LayerNormalization axis", lambda op, x, s: op.LayerNormalization(x, s, axis=-2), (X, normal(4, 5)), 9, 1e-5),
    Case("RMSNormalization", lambda op, x, s: op.RMSNormalization(x, s), (X, normal(5)), 18, 1e-5),
    Case(
        "GroupNormalization",
        lambda op, x, s, b: op.GroupNormalization(x, s, b, num_groups=2),
        (normal(2, 4, 3, 3), normal(4), normal(4)),
        9,
        1e-5,
    ),
    Case("GridSample", lambda op, x, g: op.GridSample(x, g, mode="cubic"), (X, normal(2, 3, 3, 2)), 16, 1e-6),
    Case("GridSample linear", lambda op, x, g: op.GridSample(x, g), (X, normal(2, 3, 3, 2)), 16, 1e-6),
    Case("GridSample 5-D", lambda op, x, g: op.GridSample(x, g), (normal(1, 1, 2, 3, 4), normal(1, 1, 2, 2, 3)), 20),
    Case("DequantizeLinear", lambda op, x: op.DequantizeLinear(x, 0.5, np.uint8(3)), (u8([[1, 200]]),), 10),
    Case(
        "DequantizeLinear axis",
        lambda op, x, s: op.DequantizeLinear(x, s, axis=1),
        (i8([[1, -20]]), normal(2)),
        13,
    ),
    Case("QuantizeLinear", lambda op, x: op.QuantizeLinear(x, 0.1, np.int8(3)), (SMALL,), 10),
    Case(
        "BatchNormalization",
        lambda op, x, s, b, m, v: op.BatchNormalization(x, s, b, m, v),
        (X, normal(3), normal(3), normal(3), np.abs(normal(3))),
        9,
        1e-6,
    ),
    Case("Dropout", lambda op, x: op.Dropout(x), (X,)),
    Case("Expand", lambda op, x: op.Expand(x, [2, 4, 5]), (SMALL,)),
    Case("Reshape", lambda op, x: op.Reshape(x, [0, -1]), (X,)),
    Case("Reshape allowzero", lambda op, x: op.Reshape(x, [0, 3], allowzero=1), (normal(0, 4),), 14),
    Case("Transpose", lambda op, x: op.Transpose(x, perm=[0, 2, 1]), (UNIQUE,)),
    Case("OneHot", lambda op, x: op.OneHot(x, 4, f32([0, 1])), (i64([1, 3]),)),
    Case("Tile", lambda op, x: op.Tile(x, [1, 2]), (SMALL,)),
    Case("Range", lambda op, n: op.Range(0, n, 1), (np.array(4),), 11),
    Case("DepthToSpace", lambda op, x: op.DepthToSpace(x, blocksize=2, mode="CRD"), (normal(2, 4, 2, 2),), 11),
    Case("Reshape no zero", lambda op, x: op.Reshape(x, [3, -1], allowzero=1), (normal(2, 6),)),
    Case("CumSum", lambda op, x: op.CumSum(x, 1), (SMALL,), 11, 1e-6),
    Case("Trilu", lambda op, x: op.Trilu(x), (SMALL,), 14),
    Case("Einsum", lambda op, x, y: op.Einsum(x, y, equation="ij,kj->ik"), (SMALL, normal(2, 5)), 12, 1e-6),
    Case("ScatterND add", lambda op, x: op.ScatterND(x, i64([[1]]), SMALL[2:3], reduction="add"), (SMALL,), 16),
    Case("ScatterND max", lambda op, x: op.ScatterND(x, i64([[1]]), SMALL[:1], reduction="max"), (SMALL,), 18),
    Case("IsInf", lambda op, x: op.IsInf(x), (SPECIAL,), 10),
    Case("IsNaN", lambda op, x: op.IsNaN(x), (SPECIAL,)),
    Case("Round", lambda op, x: op.Round(x), (X,), 11),
    Case("Mod", lambda op, x: op.Mod(x, 3), (LONGS,), 10),
    Case("Add int8", lambda op, x: op.Add(x, 3), (i8([1, 2]),), 14),
    Case("BitwiseAnd", lambda op, x: op.BitwiseAnd(x, 3), (INTS,), 18),
    Case("AveragePool dilations", lambda op, x: op.AveragePool(x, kernel_shape=[2, 2], dilations=[2, 2]), (X,), 19),
    Case("MaxPool", lambda op, x: op.MaxPool(x, kernel_shape=[2, 2], outputs=2), (X,)),
    Case(
        "RoiAlign",
        lambda op, x, r: op.RoiAlign(x, r, i64([0, 1]), output_height=2, output_width=2),
        (X, f32([[0, 0, 3, 3], [1, 0, 2, 4]])),
        16,
    ),
    Case(
        "RoiAlign older",
        lambda op, x, r: op.RoiAlign(x, r, i64([0, 1]), coordinate_transformation_mode="output_half_pixel"),
        (X, f32([[0, 0, 3, 3], [1, 0, 2, 4]])),
        10,
    ),
    Case("DFT", lambda op, x: op.DFT(x, None, 1), (normal(2, 4, 1),), 17, 1e-5),
    Case("Constant", lambda op, x: op.Add(x, op.Constant(value_float=2)), (X,)),
    Case("Constant ints", lambda op, x: op.Reshape(x, op.Constant(value_ints=[-1])), (X,)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_is_legal_and_the_same_at_every_opset(case: Case) -> None:
    expected: list[np.ndarray] | None = None
    known: Any = None
    for opset in range(NEWEST, OLDEST - 1, -1):
        model, op, inputs = start(case.inputs, opset)
        if opset < case.since:
            with pytest.raises(Refused, match=f"opset {opset}"):
                case.write(op, *inputs)
            continue
        proto = build(model, op, case.write(op, *inputs))
        meaning = [(n, onnx.defs.get_schema(n.op_type, opset).since_version) for n in proto.graph.node]
        if meaning == known:
            continue
        known = meaning
        try:
            results = run(proto, case.inputs)
        except NOT_IMPLEMENTED:  # the runtime lacks a type; what is written is legal nevertheless
            results = expected or []
        if expected is None and results:
            expected = results
        for value, array in zip(proto.graph.output, expected or (), strict=bool(expected)):
            dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.CopyFrom(helper.make_tensor_value_info(value.name, dtype, array.shape))
        if expected is not None:
            onnx.checker.check_model(proto, full_check=True)
        else:
            continue
        assert [r.dtype for r in results] == [e.dtype for e in expected], opset
        for result, good in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, good, case.rounding, case.rounding, err_msg=f"opset {opset}")


def test_every_older_spelling_has_a_case() -> None:
    from surgery.older import BY_BODY, OLDER

    written = {c.name.partition(" ")[0] for c in CASES}
    assert {*OLDER, *BY_BODY} <= written


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64, ml_dtypes.bfloat16])
def test_a_literal_has_the_dtype_of_its_neighbour(dtype: Any) -> None:
    model, op, (x,) = start([np.ones(3, dtype)], 17)
    proto = finish(model, op, op.Add(op.Mul(x, 2), 1))
    kinds = {t.data_type for t in proto.graph.initializer}
    assert kinds == {helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}


def test_other_literals() -> None:
    model, op, (x, c) = start([np.ones((2, 3), np.float16), np.ones((2, 3), bool)], 17)
    proto = finish(
        model,
        op,
        [
            op.And(c, True),
            op.Where(c, x, 0.5),
            op.Gather(x, [0]),
            op.Where(c, 1.0, 0.0),
            op.Where(c, 1, 0),
            op.Pad(x, [0, 1], 1.5, [1]) if op.opset >= 18 else op.Pow(x, 2),
            op.Cast(x, to=np.float64),
            op.Resize(op.Unsqueeze(x, [0, 1]), None, [1, 1, 2, 2]),
        ],
    )
    types = {v.name: v.type.tensor_type.elem_type for v in proto.graph.output}
    f16, f32, f64, i64 = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
    assert list(types.values()) == [TensorProto.BOOL, f16, f16, f32, i64, f16, f64, f16]


def test_an_array_keeps_its_dtype() -> None:
    model, op, (x,) = start([np.ones(3, np.float64)], 17)
    proto = finish(model, op, op.Mul(x, f64([1, 2, 3])))
    assert [t.data_type for t in proto.graph.initializer] == [TensorProto.DOUBLE]
    model, op, (x,) = start([np.ones(3, np.float64)], 17)
    with pytest.raises(onnx.shape_inference.InferenceError):  # nothing is changed behind the author's back
        finish(model, op, op.Mul(x, f32([1, 2, 3])))


@pytest.mark.parametrize(
    ("dtype", "literal"), [(np.int32, 0.5), (np.uint8, -1), (np.uint8, 256), (np.float16, 1e30), (np.int64, INF)]
)
def test_a_literal_that_the_dtype_can_not_hold(dtype: Any, literal: float) -> None:
    _, op, (x,) = start([np.ones(3, dtype)], 17)
    with pytest.raises(Skip, match="can't be said in"):
        op.Mul(x, literal)


def test_an_unknown_element_type() -> None:
    _, op, (x,) = start([np.ones(3, np.float32)], 17)
    x.ir.type = None
    with pytest.raises(Skip, match="element type of 'x0' is unknown"):
        op.Mul(x, 2.0)


def test_types_are_refused_where_the_opset_lacks_them() -> None:
    cases: list[tuple[Callable[..., Any], list[np.ndarray], int]] = [
        (lambda op, x: op.Cast(x, to=ml_dtypes.bfloat16), [normal(2)], 12),
        (lambda op, x: op.Add(op.Cast(x, to=np.int8), 1), [normal(2)], 13),
        (lambda op, x: op.ReduceMax(op.Cast(x, to=np.int8), [0]), [normal(2)], 11),
    ]
    for write, inputs, opset in cases:
        _, op, values = start(inputs, opset)
        with pytest.raises(Refused, match=f"of opset {opset} does not"):
            write(op, *values)


def test_a_split_in_parts_of_a_dim_that_is_unknown() -> None:
    """Before opset 18, equal parts are all that can be said without sizes: of 7, no three."""
    for opset in (9, 11, 13, 17, 18, 22):
        model, op, (x,) = start([normal(7, 2)], opset)
        x.ir.shape = ir.Shape(["n", 2])
        if opset < 18:
            with pytest.raises(Skip, match="how long 'x0' is where it is split is unknown"):
                op.Split(x, num_outputs=3, axis=0)
        else:
            finish(model, op, op.Split(x, num_outputs=3, axis=0))
        assert len(op.Split(x, num_outputs=2, axis=1)) == 2


def test_mistakes_of_the_author() -> None:
    _, op, (x,) = start([normal(2, 2)], 17)
    with pytest.raises(TypeError, match="no standard operator 'Rleu'"):
        op.Rleu(x)
    with pytest.raises(TypeError, match="no standard operator 'Upsample'"):
        op.Upsample(x, [1.0, 2.0])
    with pytest.raises(TypeError, match=r"Squeeze .* has no attribute 'axes'; it has none"):
        op.Squeeze(x, axes=[0])
    with pytest.raises(TypeError, match="has 1 inputs, not 2"):
        op.Relu(x, x)
    with pytest.raises(TypeError, match="attribute 'axis' of Softmax is int, not 'last'"):
        op.Softmax(x, axis="last")
    with pytest.raises(AttributeError):
        op.relu(x)


def test_a_refusal_names_the_first_opset_that_can() -> None:
    _, op, (x,) = start([normal(2, 4, 2, 2)], 9)
    with pytest.raises(Refused) as caught:
        op.ArgMax(x, select_last_index=1)
    assert "opset 9" in caught.value.what
    assert "opset 12 or newer" in caught.value.cure
    with pytest.raises(Refused) as caught:
        op.Trilu(x)
    assert "opset 14 or newer" in caught.value.cure


def test_attributes_have_the_types_of_the_schema() -> None:
    model, op, (x,) = start([normal(2, 2)], 17)
    y = op.HardSigmoid(op.LeakyRelu(x, alpha=np.float32(1)), alpha=1, beta=np.int64(0))
    proto = finish(model, op, op.Transpose(y, perm=(np.int64(1), 0)))
    assert {a.type for n in proto.graph.node[:2] for a in n.attribute} == {onnx.AttributeProto.FLOAT}


def test_what_is_constant_is_folded() -> None:
    model, op, (x,) = start([normal(2, 3)], 17)
    k = op.Mul(op.Add(f32([1, 2, 3]), 1.0), 2.0)
    assert k.constant is not None
    assert k.constant.tolist() == [4, 6, 8]
    proto = finish(model, op, op.Mul(x, op.Neg(k)))
    assert [n.op_type for n in proto.graph.node] == ["Mul", "Identity"]
    assert [onnx.numpy_helper.to_array(t).tolist() for t in proto.graph.initializer] == [[-4, -6, -8]]


@pytest.mark.parametrize(
    "write",
    [
        lambda op: op.Cast(op.Add(f32([1, 2]), 1.0), to=ml_dtypes.bfloat16),
        lambda op: op.Cast(op.Add(f32([1, 2]), 1.0), to=ml_dtypes.float8_e4m3fn),
        lambda op: op.ConstantOfShape(op.Mul([1 << 20], [1 << 20])),
        lambda op: op.Range(0, op.Mul(1 << 20, 1 << 20), 1),
    ],
    ids=["bfloat16", "float8", "huge", "huge range"],
)
def test_what_can_not_be_folded_stays_a_node(write: Callable[[Op], Value]) -> None:
    model, op, _ = start([normal(2)], 21)
    y = write(op)
    assert y.constant is None
    proto = finish(model, op, [y, op.Shape(y)])
    # What could be computed before it is.
    assert [n.op_type for n in proto.graph.node if n.op_type in ("Add", "Mul")] == []


def test_a_failed_fold_leaves_what_reads_it_whole() -> None:
    model, op, (x,) = start([normal(2)], 21)
    a = op.Cast(f32([1, 2]), to=ml_dtypes.bfloat16)
    b = op.Cast(a, to=np.float32)  # constant too, as it seems, until `a` is looked at
    assert a.constant is None
    proto = finish(model, op, op.Mul(x, b))
    assert [n.op_type for n in proto.graph.node] == ["Cast", "Cast", "Mul", "Identity"]


def test_random_numbers_and_sequences_are_not_folded() -> None:
    model, op, (x,) = start([normal(2)], 17)
    noise = op.RandomNormal(shape=[2], seed=1.0)
    assert noise.constant is None
    parts = op.SequenceConstruct(f32([1]), f32([2, 3]))
    assert parts.constant is None
    assert parts.dtype is None
    proto = finish(model, op, [op.Add(x, noise), op.SequenceAt(parts, 1)])
    assert {n.op_type for n in proto.graph.node} >= {"RandomNormal"}


def test_shapes_of_what_is_new() -> None:
    _, op, (x,) = start([normal(2, 3, 4)], 17)
    y = op.Reshape(op.Transpose(op.Mul(x, 2.0), perm=[0, 2, 1]), [2, -1])
    assert (y.shape, y.dtype) == ((2, 12), np.float32)
    assert op.Shape(y).dtype == np.int64
    assert op.Less(y, 0.0).dtype == np.bool_


def test_a_long_chain_has_a_shape() -> None:
    _, op, (x,) = start([normal(2, 3)], 17)
    for _ in range(3000):
        x = op.Neg(x)
    assert x.shape == (2, 3)


def test_a_node_of_another_domain() -> None:
    model, op, (x,) = start([normal(2, 3)], 17)
    build(model, op, op.FastGelu(x, domain="com.microsoft", outputs=1))
    assert model.opset_imports["com.microsoft"] == 1


def test_nothing_is_left_of_a_skipped_place() -> None:
    model, op, (x,) = start([normal(2, 3)], 17)
    op.Mul(op.Add(x, 1.0), op.Exp(np.float32(2)))
    op.finish([])
    assert [n.op_type for n in model.graph] == ["Place"]
    assert not model.graph.initializers
    assert len(x.ir.uses()) == 1


def test_an_opset_newer_than_known_is_spelt_as_the_newest_known() -> None:
    _, op, (x,) = start([normal(2, 3)], 17)
    op.opset = 99
    assert op.ReduceSum(x, [1]).ir.producer().version == 99
