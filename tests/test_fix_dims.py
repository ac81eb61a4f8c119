"""The pass `fix-dims`: dims in order, bound, folded, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import fixtures
import surgery
from rewrites.passes.fix_dims import FixDims
from surgery import BadInput, Refused
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.registry import make


def fix(proto: onnx.ModelProto, one: FixDims) -> onnx.ModelProto:
    """The model after, sound by the full checker; a second run finds nothing to do."""
    model, _ = run_pass(from_proto(proto), one)
    made = ir.to_proto(model)
    onnx.checker.check_model(made, full_check=True)
    assert run_pass(from_proto(made), FixDims())[1].places == 0
    return made


def run(proto: onnx.ModelProto, *shape: int) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def operators(proto: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in proto.graph.node}


@pytest.fixture
def recogniser() -> onnx.ModelProto:
    return fixtures.build("paddle_dims")


def test_puts_dims_in_order(recogniser: onnx.ModelProto) -> None:
    made = fix(recogniser, FixDims())
    assert dims(made.graph.input[0]) == ["batch", 3, "height", "width"]
    assert dims(made.graph.output[0]) == ["batch", "length", 12]
    assert [n.output for n in made.graph.node] == [n.output for n in recogniser.graph.node]
    for shape in ((1, 3, 32, 48), (2, 3, 16, 100), (5, 3, 48, 64)):
        np.testing.assert_array_equal(run(made, *shape), run(recogniser, *shape))


def test_names_that_say_something_stay(assert_rewrite) -> None:
    text = "(float[N, C, 4] x, float[N] z) => (float[N, C, 4] y) { w = Relu (x)  y = Abs (w) }"
    assert_rewrite(FixDims(), before=text, after=text)


def test_numbered_names_become_readable_and_stay_one(assert_rewrite) -> None:
    # In this text a name can't hold a dot, as that of Paddle2ONNX does.
    assert_rewrite(
        FixDims(),
        before="(float[unk__1, 4] x, float[unk__2, 4] z) => (float[unk__3, 4] y, float[unk__4, 4] v) "
        "{ y = Relu (x)  v = Abs (z) }",
        after="(float[batch, 4] x, float[z_batch, 4] z) => (float[batch, 4] y, float[z_batch, 4] v) "
        "{ y = Relu (x)  v = Abs (z) }",
    )


def test_one_name_of_paddle_is_one_dim() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>g (float[a, 4] x, float[a, 4] z) => (float[b, 4] y) { y = Add (x, z) }'
    )
    for value, name in zip((*proto.graph.input, *proto.graph.output), "001", strict=True):
        value.type.tensor_type.shape.dim[0].dim_param = f"p2o.DynamicDimension.{name}"
    made = fix(proto, FixDims())
    assert [dims(v) for v in (*made.graph.input, *made.graph.output)] == [["batch", 4]] * 3


def test_a_dim_of_an_output_is_tied_where_inference_gives_it(assert_rewrite) -> None:
    """Halved and doubled: equal for even heights, which alone the Add takes; not tied where it is not equal."""
    body = """<float[4, 4, 2, 2] w = {WWW}> {
        half = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        whole = ConvTranspose <strides = [2, 2]> (half, w)
        y = Add (x, whole)
        v = Relu (half)
    }""".replace("WWW", ", ".join(["0.25"] * 64))
    assert_rewrite(
        FixDims(),
        before=f"(float[N, 4, h, w] x) => (float[unk__0, 4, unk__1, unk__2] y, float[q, 4, unk__3, unk__4] v) {body}",
        after=f"(float[N, 4, h, w] x) => (float[N, 4, h, w] y, float[N, 4, height, width] v) {body}",
    )


def test_what_is_declared_of_an_unknown_operator_is_believed() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[N, 4] x) => (float[N, M] y, float[unk__5, 3] z) { y, z = acme.Odd (x) }"""
    model = from_proto(onnx.parser.parse_model(text))
    run_pass(model, FixDims(dims={"N": 3}))
    made = ir.to_proto(model)
    assert [dims(v) for v in made.graph.output] == [[3, "M"], ["batch", 3]]


def test_a_name_that_is_not_so_goes(assert_rewrite) -> None:
    """torch's exporter names both dims of what it can't tell apart by the axis."""
    body = "{ y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x) }"
    assert_rewrite(
        FixDims(),
        before=f"(float[N, 4, h, w] x) => (float[N, 4, h, w] y) {body}",
        after=f"(float[N, 4, h, w] x) => (float[N, 4, height, width] y) {body}",
    )


def test_stale_shapes_of_inner_tensors_go(recogniser: onnx.ModelProto) -> None:
    """As ``paddle2onnx.optimize`` leaves a model: -1 and sizes of 1 everywhere, a static output."""
    for dim in recogniser.graph.input[0].type.tensor_type.shape.dim:
        if dim.dim_value != 3:
            dim.dim_value = -1
    for dim in recogniser.graph.output[0].type.tensor_type.shape.dim[:2]:
        dim.dim_value = 32
    for name, size in (
        ("r1", [-1, 8, -1, -1]),
        ("up", [1, 8, 1, 1]),
        ("sum", [-1, 8, 7, 9]),
        ("steps", ["unk__7", 3, 8]),
    ):
        recogniser.graph.value_info.append(onnx.helper.make_tensor_value_info(name, 1, size))
    made = fix(recogniser, FixDims())
    assert dims(made.graph.input[0]) == ["batch", 3, "height", "width"]
    assert dims(made.graph.output[0]) == ["batch", "length", 12]
    inner = {n.output[0] for n in made.graph.node}
    assert not [v.name for v in made.graph.value_info if v.name in inner]
    for shape in ((1, 3, 32, 48), (2, 3, 16, 100), (5, 3, 48, 64)):
        assert run(made, *shape).shape == (shape[0], shape[3] // 2 + 1, 12)


def test_shapes_that_hold_stay(recogniser: onnx.ModelProto) -> None:
    ordered = fix(recogniser, FixDims())
    ordered.graph.value_info.append(onnx.helper.make_tensor_value_info("r1", 1, ["batch", 8, "half_height", "w"]))
    made = fix(ordered, FixDims())
    assert made.SerializeToString() == ordered.SerializeToString()


@pytest.mark.parametrize("one", [FixDims(shape={"x": "2x3x32x100"}), make("fix-dims:dims=batch=2;x.2=32;width=100")])
def test_folds_what_becomes_constant(recogniser: onnx.ModelProto, one: FixDims) -> None:
    made = fix(recogniser, one)
    assert dims(made.graph.input[0]) == [2, 3, 32, 100]
    assert dims(made.graph.output[0]) == [2, 51, 12]
    assert not operators(made) & {"Shape", "Slice", "NonZero", "Expand", "ConstantOfShape", "Gather"}
    np.testing.assert_allclose(run(made, 2, 3, 32, 100), run(recogniser, 2, 3, 32, 100), atol=1e-6)


def test_what_is_left_free_stays_so(recogniser: onnx.ModelProto) -> None:
    made = fix(recogniser, FixDims(dims={"batch": 2}))
    assert dims(made.graph.output[0]) == [2, "length", 12]
    target = next(n.input[1] for n in made.graph.node if n.op_type == "Reshape")
    constants = {t.name: onnx.numpy_helper.to_array(t).tolist() for t in made.graph.initializer}
    assert constants[target] == [2, -1, 8]
    assert "Expand" not in operators(made) and "Resize" in operators(made)
    for shape in ((2, 3, 32, 100), (2, 3, 16, 48)):
        np.testing.assert_allclose(run(made, *shape), run(recogniser, *shape), atol=1e-6)


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
@pytest.mark.parametrize("dtype", ["float", "float16", "double", "int64"])
def test_targets_are_said_by_what_is_known(assert_rewrite, opset: int, dtype: str) -> None:
    before = f"""({dtype}[N, C, 6] x) => ({dtype}[N, C, M] y)
        <int64[1] i = {{0}}, int64[1] k = {{1}}, int64[1] six = {{6}}> {{
            s = Shape (x)  n = Gather (s, i)  c = Gather (s, k)
            t = Concat <axis = 0> (n, c, six)
            y = Reshape (x, t)
        }}"""
    after = f"({dtype}[4, C, 6] x) => ({dtype}[4, C, 6] y) <int64[3] t = {{4, 0, 6}}> {{ y = Reshape (x, t) }}"
    assert_rewrite(FixDims(dims={"x.0": 4}), before=before, after=after, opset=opset, verify=opset > 9)


@pytest.mark.parametrize("opset", [11, 13, 19])
def test_sizes_are_said_by_scales_where_a_dim_stays_free(assert_rewrite, opset: int) -> None:
    """Nothing but what is known becomes constant: the shape given is the one that the model has."""
    assert_rewrite(
        FixDims(shape={"x": "?x3x8x12"}),
        before="""(float[N, 3, 8, 12] x) => (float[N, 3, 4, 30] y)
            <int64[1] o = {0}, int64[1] two = {2}, int64[2] k = {4, 30}, float[0] none = {}> {
                s = Shape (x)  n = Slice (s, o, two, o)
                t = Concat <axis = 0> (n, k)
                y = Resize <mode = "linear"> (x, none, none, t)
            }""",
        after="""(float[N, 3, 8, 12] x) => (float[N, 3, 4, 30] y)
            <float[0] none = {}, float[4] t = {1, 1, 0.5, 2.5}> { y = Resize <mode = "linear"> (x, none, t) }""",
        opset=opset,
    )


@pytest.mark.parametrize("size, says", [(10, True), (41, True), (11, False)])
def test_a_scale_that_rounds_to_another_size_is_no_size(size: int, says: bool) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 13]> g (float[N, 3, 8, 49] x) => (float[N, 3, 8, M] y)
        <int64[1] o = {{0}}, int64[1] last = {{3}}, int64[1] k = {{{size}}}, float[0] none = {{}}> {{
            s = Shape (x)  n = Slice (s, o, last, o)  t = Concat <axis = 0> (n, k)
            y = Resize <mode = "nearest"> (x, none, none, t)
        }}"""
    made = fix(onnx.parser.parse_model(text), FixDims(shape={"x": "?x3x8x49"}))
    assert ("Concat" not in operators(made)) == says
    assert run(made, 2, 3, 8, 49).shape == (2, 3, 8, size)


def test_a_choice_of_minus_one_is_seen_through(assert_rewrite) -> None:
    """torch writes Expand so: where the target is -1, it takes 1."""
    assert_rewrite(
        FixDims(dims={"x.0": 2}),
        before="""(float[N, M] x, float[3, 1] z) => (float[A, B] y)
            <int64[1] i = {1}, int64[1] last = {2}, int64[1] three = {3}, int64[2] none = {-1, -1},
             int64[2] ones = {1, 1}> {
                s = Shape (x)  m = Slice (s, i, last)
                t = Concat <axis = 0> (three, m)
                e = Equal (t, none)  w = Where (e, ones, t)
                y = Expand (z, w)
            }""",
        after="""(float[2, M] x, float[3, 1] z) => (float[3, M] y)
            <int64[1] i = {1}, int64[1] last = {2}, int64[1] three = {3}, bool[2] e = {0, 0}, int64[2] ones = {1, 1}> {
                s = Shape (x)  m = Slice (s, i, last)
                t = Concat <axis = 0> (three, m)
                w = Where (e, ones, t)
                y = Expand (z, w)
            }""",
    )


def test_leaves_targets_that_two_dims_could_be(assert_rewrite) -> None:
    body = """<int64[1] two = {2}, int64[2] i = {1, 0}> {
        s = Shape (x)  t = Gather (s, i)  u = Concat <axis = 0> (two, t)  h = Concat <axis = 1> (x, x)
        y = Reshape (h, u)
    }"""
    assert_rewrite(
        FixDims(dims={"z.0": 5}),
        before=f"(float[N, M] x, float[K] z) => (float[2, M, N] y) {body}",
        after=f"(float[N, M] x, float[5] z) => (float[2, M, N] y) {body}",
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dims": {"batch": 1}, "shape": {"x": "2x3x32x100"}}, "dim 'batch'.*1 and 2"),
        ({"dims": {"batch": 1, "x.0": 2}}, "1 and 2"),
        ({"shape": {"x": "1x1x32x100"}}, "input 'x'.*axis 1 is 3"),
        ({"shape": {"x": "1x3x32"}}, "4 axes, not 3"),
    ],
)
def test_refuses_wishes_that_contradict(recogniser: onnx.ModelProto, options: dict, why: str) -> None:
    with pytest.raises(Refused, match=why):
        fix(recogniser, FixDims(**options))


def test_refuses_dims_that_a_node_can_not_take_by_its_name() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N, C, h, w] x) => (float[N, 4, a, b] y) <float[4, 2, 1, 1] k = {1,2,3,4,5,6,7,8}> {
        [mix] y = Conv (x, k)
    }"""
    with pytest.raises(Refused, match=r"Conv 'mix'.*\[2, 3, 8, 8\].*for 2 channels, and it gets 3"):
        fix(onnx.parser.parse_model(text), FixDims(shape={"x": "2x3x8x8"}))
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N, C] x) => (float[N, C] y) <float[3] k = {1, 2, 3}> { [scale] y = Mul (x, k) }"""
    with pytest.raises(Refused, match=r"Mul 'scale'"):
        fix(onnx.parser.parse_model(text), FixDims(dims={"C": 4}))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dims": {"breadth": 4}}, r"'breadth'\nthere is: x \[batch, 3, height, width\]"),
        ({"dims": {"x.7": 4}}, "there is: x"),
        ({"dims": {"batch": 0}}, "can't be 0"),
        ({"shape": {"image": "1x3x32x32"}}, "no input 'image'\nthere is: x"),
        ({"shape": {"x": "1x3xheightx32"}}, "is no shape"),
        ({"shape": {"x": "1x3x9999999999999999999x32"}}, "is no shape"),
        ({"dims": {"x.0": 99999999999999999999}}, "a dim can't be 9999"),
    ],
)
def test_says_what_there_is(recogniser: onnx.ModelProto, options: dict, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        fix(recogniser, FixDims(**options))


def test_a_refusal_leaves_what_was_declared(recogniser: onnx.ModelProto) -> None:
    model = from_proto(recogniser)
    before = ir.to_proto(model).SerializeToString()
    with pytest.raises(Refused):
        run_pass(model, FixDims(shape={"x": "1x3x32"}))
    assert ir.to_proto(model).SerializeToString() == before


def test_is_verified_at_the_dims_that_are_left(tmp_path: Path) -> None:
    fixtures.write("paddle_dims", tmp_path / "m.onnx")
    for options in ("", ":dims=batch=2", ":shape=x=?x3x32x?", ":shape=x=2x3x32x64"):
        result = surgery.apply(tmp_path / "m.onnx", [f"fix-dims{options}"], tmp_path / "out.onnx", force=True)
        assert result.report.verdict == "equal", str(result.report.verify)
        assert result.report.verify.probes


def test_a_fault_is_caught(tmp_path: Path) -> None:
    class Wrong(FixDims):
        def apply(self, model: ir.Model) -> int:
            places = super().apply(model)
            bias = next(v for n in model.graph if n.op_type == "Add" for v in n.inputs if v.const_value is not None)
            bias.const_value = ir.tensor(bias.const_value.numpy() * 1.1, name=bias.name)
            return places

    fixtures.write("paddle_dims", tmp_path / "m.onnx")
    assert surgery.apply(tmp_path / "m.onnx", [Wrong(dims={"batch": 2})]).report.verdict == "different"


def test_a_model_in_order_is_written_as_it_was(tmp_path: Path) -> None:
    made = fix(fixtures.build("paddle_dims"), FixDims())
    onnx.save(made, tmp_path / "m.onnx")
    result = surgery.apply(tmp_path / "m.onnx", ["fix-dims"], tmp_path / "out.onnx")
    assert result.report.verdict == "untouched"
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()
