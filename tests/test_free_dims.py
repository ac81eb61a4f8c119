"""The pass `free-dims`: what baked the batch is cured, or refused; a batch of N is N runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import fixtures
import surgery
from rewrites.passes.fix_dims import FixDims
from rewrites.passes.free_dims import FreeDims
from surgery import BadInput, Refused
from surgery.model import from_proto
from surgery.passes import run_pass


def free(proto: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    """The model after, sound by the full checker; a second run finds nothing to do."""
    model, report = run_pass(from_proto(proto), FreeDims(**options))
    assert report.places
    made = ir.to_proto(model)
    onnx.checker.check_model(made, full_check=True)
    assert run_pass(from_proto(made), FreeDims(**options))[1].places == 0
    return made


class Net:
    """A model that runs."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self.session.run(None, dict(zip((i.name for i in self.session.get_inputs()), arrays, strict=True)))[0]


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def same_as_single_runs(before: onnx.ModelProto, after: onnx.ModelProto, out: int = 0) -> None:
    """Batches of `after` are runs of `before`, joined along the axis `out`."""
    one, many = Net(before), Net(after)
    shapes = [[d if isinstance(d, int) else 40 for d in dims(v)] for v in before.graph.input]
    draw = np.random.default_rng(0)
    for count in (1, 2, 3, 5):
        runs = [[draw.standard_normal(s).astype(np.float32) for s in shapes] for _ in range(count)]
        wanted = np.concatenate([one(*run) for run in runs], out)
        np.testing.assert_allclose(many(*map(np.concatenate, zip(*runs, strict=True))), wanted, atol=2e-6)


def model(text: str, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}')


BAKED = {
    "reshape": """(float[1, 6, 4] x) => (float[1, 3, 8] y) <int64[3] t = {1, 3, 8}> { y = Reshape (x, t) }""",
    "reshape beside -1": """(float[1, 6, 4] x) => (float[1, 3, 8] y) <int64[3] t = {1, -1, 8}>
        { y = Reshape (x, t) }""",
    "reshape into -1": """(float[1, 6, 4] x) => (float[1, 24] y) <int64[2] t = {1, -1}> { y = Reshape (x, t) }""",
    "reshape by -1 that is right": """(float[1, 6, 4] x) => (float[1, 24] y) <int64[2] t = {-1, 24}>
        { y = Reshape (x, t) }""",
    "merged with steps": """(float[1, 6, 4] x) => (float[1, 6, 2] y)
        <int64[2] t = {6, 4}, int64[3] u = {1, 6, 2}, float[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}>
        { a = Reshape (x, t)  b = MatMul (a, w)  y = Reshape (b, u) }""",
    "a transpose that became a reshape": """(float[1, 3, 4] x) => (float[1, 3, 4] y)
        <int64[3] t = {3, 1, 4}, int64[3] u = {1, 3, 4}>
        { a = Reshape (x, t)  b = Softmax <axis = 0> (a)  y = Reshape (b, u) }""",
    "heads of attention": """(float[1, 6, 4] x) => (float[1, 6, 4] y)
        <int64[4] t = {1, 6, 2, 2}, int64[3] u = {1, 6, 4}> {
        a = Reshape (x, t)  q = Transpose <perm = [0, 2, 1, 3]> (a)  k = Transpose <perm = [0, 2, 3, 1]> (a)
        s = MatMul (q, k)  p = Softmax <axis = -1> (s)  o = MatMul (p, q)
        b = Transpose <perm = [0, 2, 1, 3]> (o)  y = Reshape (b, u)
    }""",
    "parts merged at a batch of two": """(float[2, 6, 4] x) => (float[2, 6, 2] y)
        <int64[2] t = {12, 4}, int64[3] u = {2, 6, 2}, float[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}>
        { a = Reshape (x, t)  b = MatMul (a, w)  y = Reshape (b, u) }""",
    "merged behind steps": """(float[1, 6, 4] x) => (float[6, 1, 4] y)
        <int64[2] t = {6, 4}, int64[3] u = {6, 1, 4}>
        { s = Transpose <perm = [1, 0, 2]> (x)  a = Reshape (s, t)  b = Softmax (a)  y = Reshape (b, u) }""",
    "expand": """(float[2, 1, 4] x) => (float[2, 3, 4] y) <int64[3] t = {2, 3, 4}> { y = Expand (x, t) }""",
    "tile and constant": """(float[2, 3] x) => (float[2, 3] y) <float[1, 3] k = {1, 2, 3}, int64[2] r = {2, 1}>
        { t = Tile (k, r)  y = Add (x, t) }""",
    "constant of shape": """(float[2, 3] x) => (float[2, 5] y) <int64[2] s = {2, 2}>
        { z = ConstantOfShape (s)  y = Concat <axis = 1> (z, x) }""",
    "rows of one constant": """(float[2, 3] x) => (float[2, 3] y) <float[2, 3] k = {1, 2, 3, 1, 2, 3}>
        { y = Mul (x, k) }""",
    "slice": """(float[2, 3, 4] x) => (float[2, 2, 4] y)
        <int64[2] a = {0, 1}, int64[2] b = {2, 3}> { y = Slice (x, a, b) }""",
    "sizes": """(float[1, 2, 3, 4] x) => (float[1, 2, 6, 8] y) <int64[4] s = {1, 2, 6, 8}>
        { y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">
            (x, , , s) }""",
    "sizes known in part": """(float[1, 2, 3, W] x) => (float[1, 2, 6, W] y)
        <int64[3] s = {1, 2, 6}, int64[1] i = {3}> {
        f = Shape (x)  w = Gather (f, i)  t = Concat <axis = 0> (s, w)
        y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , , t)
    }""",
    "a target known in part": """(float[2, 6, W] x) => (float[2, 3, W, 2] y)
        <int64[2] s = {2, 3}, int64[1] i = {2}, int64[1] l = {2}> {
        f = Shape (x)  w = Gather (f, i)  t = Concat <axis = 0> (s, w, l)  y = Reshape (x, t)
    }""",
    "grid": """(float[2, 1, 4, 4] x) => (float[2, 1, 1, 2] y)
        <float[2, 1, 2, 2] k = {-0.5, 0.1, 0.3, 0.8, -0.5, 0.1, 0.3, 0.8}> { y = GridSample (x, k) }""",
}


@pytest.mark.parametrize("name", BAKED)
def test_what_baked_the_batch_is_cured(name: str) -> None:
    before = model(BAKED[name])
    after = free(before)
    out = 1 if name == "merged behind steps" else 0
    assert dims(after.graph.input[0])[0] == "batch" == dims(after.graph.output[0])[out]
    same_as_single_runs(before, after, out)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("opset", [9, 14])
def test_states_are_expanded(kind: str, batch: int, opset: int) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    more = ", s" if kind == "LSTM" else ""
    states = ", ".join(["0.5, -0.25"] * batch)
    draw = np.random.default_rng(1)
    before = model(
        f"""(float[{batch}, 5, 3] x) => (float[{batch}, 5, 2] y)
        <float[1, {batch}, 2] s = {{{states}}}, int32[{batch}] lengths = {{{", ".join("5" * batch)}}},
         int64[3] t = {{5, {batch}, 2}}> {{
            a = Transpose <perm = [1, 0, 2]> (x)
            b = {kind} <hidden_size = 2> (a, w, r, , lengths, s{more})
            c = Reshape (b, t)
            y = Transpose <perm = [1, 0, 2]> (c)
        }}""",
        opset,
    )
    for name, width in (("w", 3), ("r", 2)):
        values = draw.standard_normal((1, 2 * gates, width)).astype(np.float32)
        before.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    same_as_single_runs(before, free(before))


REFUSED = {
    "rows that differ": (
        "(float[2, 2] x) => (float[2, 2] y) <float[2, 2] k = {1, 2, 3, 4}> { [at] y = Mul (x, k) }",
        "'k'",
    ),
    "one row is taken": ("(float[1, 4] x) => (float[4] y) <int64 i = {0}> { [at] y = Gather (x, i) }", "'i'"),
    "the batch is dropped": ("(float[1, 4] x) => (float[4] y) <int64[1] i = {0}> { [at] y = Squeeze (x, i) }", "'i'"),
    "the batch is summed": ("(float[2, 4] x) => (float[1, 4] y) { [at] y = ReduceMean <axes = [0]> (x) }", "loses"),
    "joined along it": (
        "(float[1, 2] x) => (float[2, 2] y) <float[1, 2] k = {1, 2}> { [at] y = Concat <axis = 0> (x, k) }",
        "'k'",
    ),
    "split": (
        """(float[2, 4] x) => (float[1, 4] y, float[1, 4] z) <int64[2] k = {1, 1}>
        { [at] y, z = Split <axis = 0> (x, k) }""",
        "'k'",
    ),
    "another size is made of it": (
        """(float[1, 1, 2, 2] x) => (float[2, 1, 2, 2] y) <int64[4] k = {2, 1, 2, 2}>
        { [at] y = Resize <mode = "nearest"> (x, , , k) }""",
        "'k'",
    ),
    "a custom operator": ("(float[1, 4] x) => (float[1, 4] y) { [at] y = acme.Odd (x) }", "can't be told"),
    "a sub-graph": (
        """(float[1, 4] x, bool c) => (float[1, 4] y) { [at] y = If (c) <
            then_branch = t () => (float[1, 4] a) { a = Relu (x) },
            else_branch = e () => (float[1, 4] b) { b = Abs (x) }
        > }""",
        "can't be told",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_explained_is_refused_by_name(name: str) -> None:
    text, why = REFUSED[name]
    with pytest.raises(Refused, match=why) as caught:
        free(model(text), dims={"batch": "x.0"})
    assert "'at'" in str(caught.value)


def test_dims_by_name() -> None:
    text = "(float[1, 4] x, float[4, 1] z) => (float[1, 4] y) { w = Transpose <perm = [1, 0]> (z)  y = Add (x, w) }"
    made = free(model(text), dims={"n": "x.0+z.1", "width": "x.1+z.0"})
    assert [dims(v) for v in (*made.graph.input, *made.graph.output)] == [
        ["n", "width"],
        ["width", "n"],
        ["n", "width"],
    ]


def test_a_free_dim_stays_as_it_is() -> None:
    text = "(float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }"
    assert run_pass(from_proto(model(text)), FreeDims())[1].places == 0


@pytest.mark.parametrize(
    ("wish", "error", "why"),
    [
        ({"batch": "q.0"}, BadInput, r"'q.0'\nthere is: x \[2, 4\]; z \[3, 4\]"),
        ({"batch": "x.2"}, BadInput, "'x.2'"),
        ({"batch": "first"}, BadInput, "'first'"),
        ({"8": "x.0"}, BadInput, "can't have the name '8'"),
        ({"": "x.0"}, BadInput, "can't have the name ''"),
        ({"batch": "0"}, Refused, "x.0 is 2, z.0 is 3"),
    ],
)
def test_says_what_there_is(wish: dict[str, str], error: type[Exception], why: str) -> None:
    text = "(float[2, 4] x, float[3, 4] z) => (float[2, 4] y, float[3, 4] w) { y = Relu (x)  w = Relu (z) }"
    with pytest.raises(error, match=why):
        free(model(text), dims=wish)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_recogniser_exported_at_a_fixed_batch(batch: int) -> None:
    pytest.importorskip("torch")
    from fixtures.crnn import build

    made, original = free(build(batch)), Net(build())
    assert dims(made.graph.input[0]) == ["batch", 1, 32, "width"]
    assert dims(made.graph.output[0])[1] == "batch"
    net = Net(made)
    for shape in ((1, 1, 32, 100), (2, 1, 32, 100), (3, 1, 32, 76), (5, 1, 32, 40)):
        x = np.random.default_rng(2).standard_normal(shape, np.float32)
        np.testing.assert_allclose(net(x), original(x), atol=2e-6)


def test_a_width_is_freed() -> None:
    pytest.importorskip("torch")
    proto = fixtures.build("crnn")
    fixed, _ = run_pass(from_proto(proto), FixDims(dims={"width": 100}))
    made = free(ir.to_proto(fixed), dims={"width": "x.3"})
    assert dims(made.graph.input[0]) == ["batch", 1, 32, "width"]
    net, original = Net(made), Net(proto)
    for shape in ((1, 1, 32, 100), (2, 1, 32, 76), (3, 1, 32, 160)):
        x = np.random.default_rng(2).standard_normal(shape, np.float32)
        np.testing.assert_allclose(net(x), original(x), atol=2e-6)


@pytest.mark.parametrize("name", ["paddle_dims", "tps"])
@pytest.mark.parametrize("batch", [1, 3])
def test_undoes_fix_dims(name: str, batch: int) -> None:
    proto = fixtures.build(name)
    size = {"paddle_dims": "32x48", "tps": "32x100"}[name]
    fixed, _ = run_pass(from_proto(proto), FixDims(shape={"x": f"{batch}x3x{size}"}))
    net, original = Net(free(ir.to_proto(fixed))), Net(proto)
    for count in (1, 2, 3, 5):
        x = np.random.default_rng(3).standard_normal((count, 3, *map(int, size.split("x")))).astype(np.float32)
        np.testing.assert_allclose(net(x), original(x), atol=2e-6)


def test_batches_are_compared_with_single_runs(tmp_path: Path) -> None:
    for batch in (1, 2):
        onnx.save(
            model(
                BAKED["slice"]
                .replace("[2, 3, 4] x", f"[{batch}, 3, 4] x")
                .replace("[2, 2, 4] y", f"[{batch}, 2, 4] y")
                .replace("{2, 3}", f"{{{batch}, 3}}")
            ),
            tmp_path / "m.onnx",
        )
        result = surgery.apply(tmp_path / "m.onnx", ["free-dims"], tmp_path / "out.onnx", force=True)
        assert result.report.verdict == "equal", str(result.report.verify)
        rows = sorted(p.shapes["x"][0] for p in result.report.verify.probes if p.kind == "batch")
        assert rows == ([2, 3, 5] if batch == 1 else [1, 4, 6, 10])


def test_what_can_not_be_compared_is_said(tmp_path: Path) -> None:
    onnx.save(model("(float[1, 4] x) => (float[1, 4] y) { y = Relu (x) }"), tmp_path / "m.onnx")
    result = surgery.apply(tmp_path / "m.onnx", ["free-dims:dims=batch=0;width=x.1"], tmp_path / "out.onnx")
    assert result.ok
    assert any("was 4 at axis 1: other sizes can't be compared" in note for note in result.report.verify.notes)


@pytest.mark.parametrize(
    "text",
    [
        # each is right for a batch of one alone
        "(float[1, 3, 4] x) => (float[1, 3, 4] y) { y = Softmax <axis = 0> (x) }",
        "(float[1, 4] x) => (float[1, 4] y) { m = ReduceMax <axes = [0, 1], keepdims = 1> (x)  y = Div (x, m) }",
        """(float[1, 4] x) => (float[1, 4] y) <int64[1] a = {0}, int64[1] b = {1}>
            { r = Slice (x, a, b, a)  s = CumSum (r, axis)  y = Add (s, x) }""",
    ],
)
def test_rows_that_know_of_each_other_are_caught(text: str, tmp_path: Path) -> None:
    proto = model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "axis"))
    onnx.save(proto, tmp_path / "m.onnx")
    try:
        result = surgery.apply(tmp_path / "m.onnx", ["free-dims"], tmp_path / "out.onnx")
    except Refused:
        return
    assert result.report.verdict == "different"
    assert not (tmp_path / "out.onnx").exists()


def test_a_fault_is_caught(tmp_path: Path) -> None:
    class Wrong(FreeDims):
        """Takes the rows in another order."""

        def apply(self, model: ir.Model) -> int:
            places = super().apply(model)
            node = next(n for n in model.graph if n.op_type == "Reshape")
            inputs = [node.inputs[0], model.graph.initializers["all"]]
            flip = ir.node("ReverseSequence", inputs, attributes={"batch_axis": 1, "time_axis": 0})
            model.graph.insert_before(node, flip)
            node.replace_input_with(0, flip.outputs[0])
            flip.outputs[0].name = "flipped"
            return places

    proto = model(
        "(float[1, 2, 4] x) => (float[1, 8] y) <int64[2] t = {1, 8}, int64[2] all = {2, 2}> { y = Reshape (x, t) }"
    )
    onnx.save(proto, tmp_path / "m.onnx")
    assert not surgery.apply(tmp_path / "m.onnx", [Wrong()], tmp_path / "out.onnx").ok
