"""The passes `set-value`, `remove-node`, `rename`, `cast-io` and `cut`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import surgery
from rewrites.passes.cast_io import CastIo
from rewrites.passes.cut import Cut
from rewrites.passes.remove_node import RemoveNode
from rewrites.passes.rename import Rename
from rewrites.passes.set_value import SetValue
from surgery import BadInput, Pass, Refused
from surgery.registry import make
from surgery.testing import parse

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3, 8, 8] x) => (float[N, 4] y)
<float[4, 3, 1, 1] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.5, 2.5, 3.5}, float k = {0.5},
 int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, float fill = {-0.25}>
{
    [pad] a = Pad (x, pads, fill)
    [conv] b = Conv (a, w)
    [scale] c = Mul (b, k)
    [act] d = LeakyRelu <alpha = 0.25> (c)
    [shift] e = Add (d, fill)
    [mean] f = GlobalAveragePool (e)
    [flat] y = Flatten (f)
}"""


def apply(one: Pass | list[Any], text: str | onnx.ModelProto = NET, **how: Any) -> tuple[onnx.ModelProto, Any]:
    result = surgery.apply(parse(text), one if isinstance(one, list) else [one], **how)
    assert result.model is not None, result.report
    proto = ir.to_proto(result.model)
    onnx.checker.check_model(proto, full_check=True)
    return proto, result.report


def run(proto: onnx.ModelProto, **feeds: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, feeds)
    return results


def image(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, 3, 8, 8), np.float32)


# -------------------------------------------------------------------------- set-value


def test_set_a_constant_input_of_one_node() -> None:
    after, report = apply(SetValue(node="pad", field="constant_value", value=2.0))
    wanted = NET.replace("pads, fill)", "pads, two)").replace("float fill =", "float two = {2.0}, float fill =")
    for batch in (1, 3):
        np.testing.assert_array_equal(run(after, x=image(batch)), run(parse(wanted), x=image(batch)))
    assert report.verdict == "changed" and report.passes[0].contract.startswith("changes")


def test_set_a_tensor_for_all_that_read_it() -> None:
    after, _ = apply(SetValue(tensor="fill", value="2"))
    np.testing.assert_array_equal(run(after, x=image()), run(parse(NET.replace("{-0.25}", "{2.0}")), x=image()))


def test_set_an_attribute() -> None:
    after, _ = apply(make("set-value:node=act,field=alpha,value=0.5"))
    np.testing.assert_array_equal(run(after, x=image()), run(parse(NET.replace("= 0.25>", "= 0.5>")), x=image()))
    after, _ = apply(make("set-value:node=pad,field=mode,value=edge"))
    np.testing.assert_array_equal(
        run(after, x=image()), run(parse(NET.replace("Pad (", 'Pad <mode="edge"> (')), x=image())
    )


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_set_several_numbers_in_a_constant_node(opset: int) -> None:
    text = "(float[n, 6] x) => (float[a, b] y) { s = Constant <value_ints = [-1, 6]> () y = Reshape (x, s) }"
    result = surgery.apply(parse(text, opset), ["set-value:node=Reshape,field=shape,value=-1;3"], verify="none")
    assert result.model is not None
    assert run(ir.to_proto(result.model), x=np.zeros((2, 6), np.float32))[0].shape == (4, 3)


def test_setting_what_is_set_changes_nothing() -> None:
    for text in ("tensor=fill,value=-0.25", "node=act,field=alpha,value=0.25", "tensor=pads,value=0;0;1;1;0;0;1;1"):
        assert apply([f"set-value:{text}"])[1].verdict == "untouched"


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "bool", "uint8"])
def test_set_keeps_the_dtype(dtype: str) -> None:
    declared = {"float64": "double"}.get(dtype, dtype)
    text = f"({declared}[n] x) => ({declared}[n] y) <{declared}[2] k = {{0, 1}}> {{ i = Concat <axis=0> (x, k) y = Identity (i) }}"
    after = surgery.apply(parse(text), ["set-value:tensor=k,value=1"], verify="none").model
    assert after is not None
    tensor = after.graph.initializers["k"].const_value
    assert tensor is not None and tensor.numpy().tolist() == [1, 1] and str(tensor.numpy().dtype) == dtype


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"node": "pda", "field": "mode", "value": "edge"}, "there is: pad"),
        ({"tensor": "fil", "value": 1}, "there is: fill"),
        ({"node": "act", "field": "alfa", "value": 1}, "there is: alpha"),
        ({"node": "act", "field": "alpha", "value": "steep"}, "takes float, not 'steep'"),
        ({"node": "act", "field": "alpha", "value": "1;2"}, "is one value, not 2"),
        ({"tensor": "pads", "value": "0.5"}, "takes int, not '0.5'"),
        ({"tensor": "pads", "value": str(2**70)}, "can't hold"),
        ({"tensor": "w", "value": "1;2;3"}, "has 12 values"),
        ({"tensor": "fill", "node": "pad", "value": 1}, "say what to set"),
        ({"value": 1}, "say what to set"),
    ],
)
def test_set_value_says_what_is_wrong(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match="set-value") as caught:
        apply(SetValue(**options))
    assert said in str(caught.value)


def test_set_value_refuses() -> None:
    with pytest.raises(Refused, match="'a' is computed"):
        apply(SetValue(node="conv", field="X", value=1))
    with pytest.raises(Refused, match="contradict"):
        apply(["set-value:tensor=fill,value=1", "set-value:tensor=fill,value=2"])


# ------------------------------------------------------------------------ remove-node


def test_remove_nodes() -> None:
    after, report = apply(RemoveNode(nodes=["scale", "LeakyRelu"]))
    assert [n.op_type for n in after.graph.node] == ["Pad", "Conv", "Add", "GlobalAveragePool", "Flatten"]
    assert "k" not in [t.name for t in after.graph.initializer] and report.verdict == "changed"
    wanted = NET.replace("Mul (b, k)", "Identity (b)").replace("LeakyRelu <alpha = 0.25>", "Identity")
    np.testing.assert_array_equal(run(after, x=image(3)), run(parse(wanted), x=image(3)))


def test_remove_the_last_node() -> None:
    text = "(float[n, 4] x) => (float[n, 4] y) { a = Exp (x) y = Softmax (a) }"
    after, _ = apply(RemoveNode(nodes=["y"]), text)
    np.testing.assert_allclose(run(after, x=image().reshape(-1, 4))[0], np.exp(image().reshape(-1, 4)), rtol=1e-6)


def test_remove_what_does_nothing_is_proven() -> None:
    text = "(float[n, 4] x) => (float[n, 4] y) { a = Identity (x) y = Relu (a) }"
    assert apply(RemoveNode(nodes=["Identity"]), text)[1].verify.outputs[0].verdict == "equal"


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("mean", r"output is float32\[N,4,1,1\]"),
        ("a2", "in several ways"),
        ("split", "is read too"),
    ],
)
def test_remove_node_refuses(node: str, said: str) -> None:
    text = """(float[N, 4, 6, 6] x) => (float[N, 4, 1, 1] y) {
        [act] a1 = Relu (x) [a2] a2 = Add (x, a1) [split] s, t = Split <axis = 2> (a2)
        u = Add (s, t) [mean] y = GlobalAveragePool (u) }"""
    with pytest.raises(Refused, match=said):
        apply(RemoveNode(nodes=[node]), text)
    if node == "a2":
        after, _ = apply(RemoveNode(nodes=[node], input="a1"), text)
        assert [n.op_type for n in after.graph.node] == ["Relu", "Split", "Add", "GlobalAveragePool"]


def test_remove_node_says_what_there_is() -> None:
    with pytest.raises(BadInput) as caught:
        apply(RemoveNode(nodes=["scal"]))
    assert "there is: scale" in str(caught.value)


# ----------------------------------------------------------------------------- rename


def test_rename_everything_at_once() -> None:
    one = Rename(
        tensors={"x": "image", "y": "scores", "a": "b", "b": "a", "w": "kernel"},
        nodes={"conv": "stem"},
        dims={"N": "batch"},
    )
    after, report = apply(one)
    assert [v.name for v in (*after.graph.input, *after.graph.output)] == ["image", "scores"]
    assert [list(n.input) for n in after.graph.node[:2]] == [["image", "pads", "fill"], ["b", "kernel"]]
    assert after.graph.node[1].name == "stem" and list(after.graph.node[1].output) == ["a"]
    assert [v.type.tensor_type.shape.dim[0].dim_param for v in (*after.graph.input, *after.graph.output)] == [
        "batch"
    ] * 2
    np.testing.assert_array_equal(run(after, image=image()), run(parse(NET), x=image()))
    assert report.verdict == "equal"
    assert (
        apply(Rename(tensors={"x": "image"}, nodes={"conv": "stem"}, dims={"N": "batch"}), after)[1].verdict
        == "untouched"
    )


def test_rename_reaches_into_branches_and_expressions() -> None:
    text = """(float[2*N, 4] x, bool c) => (float[M, 4] y) {
        y = If (c) <then_branch = t () => (float[2*N, 4] a) { a = Relu (x) }, else_branch = e () => (float[2*N, 4] a) { a = Neg (x) }>
    }""".replace("2*N", "two")
    proto = parse(text)
    for value in (*proto.graph.input[:1], *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "2*N"
    after, _ = apply(Rename(tensors={"x": "rows"}, dims={"N": "batch"}), proto)
    assert after.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "2*batch"
    assert after.graph.node[0].attribute[0].g.node[0].input[0] == "rows"


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"tensors": {"imag": "image"}}, BadInput, "no tensor 'imag'"),
        ({"nodes": {"konv": "stem"}}, BadInput, "there is: conv"),
        ({"dims": {"M": "batch"}}, BadInput, "there is: N"),
        ({"dims": {"N": "4"}}, BadInput, "fix-dims"),
        ({"tensors": {"a": "b"}}, Refused, "is that of another tensor"),
        ({"tensors": {"a": "t", "b": "t"}}, Refused, "contradict"),
        ({"nodes": {"conv": "act"}}, Refused, "is that of another node"),
        ({}, BadInput, "nothing is named"),
    ],
)
def test_rename_says_what_is_wrong(options: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        apply(Rename(**options))
    assert said in str(caught.value)


# ---------------------------------------------------------------------------- cast-io

IDS = """<ir_version: 8, opset_import: ["" : 17]>
net (int64[N, 5] ids, float[N, 3] x) => (float[N, 5, 3] y, int64[N] best)
<float[7, 3] table = {0.1, 0.2, 0.3, 1.1, 1.2, 1.3, 2.1, 2.2, 2.3, 3.1, 3.2, 3.3, 4.1, 4.2, 4.3, 5.1, 5.2, 5.3, 6.1, 6.2, 6.3},
 int64[1] one = {1}, int64 seven = {7}>
{
    row = Mod (ids, seven)
    found = Gather (table, row)
    more = Unsqueeze (x, one)
    y = Add (found, more)
    flat = Flatten (y)
    best = ArgMax <axis = 1, keepdims = 0> (flat)
}"""


def test_cast_inputs_and_outputs() -> None:
    after, report = apply(CastIo(inputs={"ids": "int32", "x": "float16"}, outputs={"*": "int32"} | {"y": "int32"}), IDS)
    kinds = [v.type.tensor_type.elem_type for v in (*after.graph.input, *after.graph.output)]
    assert kinds == [6, 10, 6, 6] and report.verdict == "equal"
    ids, x = np.arange(10).reshape(2, 5), np.float32([[0.5, 20.25, 1.5], [3, 4, 5]])
    before = run(parse(IDS), ids=ids, x=x)
    results = run(after, ids=ids.astype(np.int32), x=x.astype(np.float16))
    for ours, theirs in zip(results, before, strict=True):  # ArgMax reads y as it was, not as it is given
        np.testing.assert_array_equal(ours, theirs.astype(np.int32))
    assert apply(CastIo(inputs={"ids": "int32"}), after)[1].verdict == "untouched"


@pytest.mark.parametrize("dtype", ["float16", "double", "bfloat16"])
def test_cast_floats(dtype: str) -> None:
    after, report = apply(CastIo(outputs={"y": dtype}), IDS)
    assert report.verdict == "equal" and after.graph.output[0].type.tensor_type.elem_type != 1


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"inputs": {"id": "int32"}}, BadInput, "there is: ids"),
        ({"outputs": {"y": "float8"}}, BadInput, "no element type 'float8'"),
        ({"inputs": {"ids": "int32", "i*": "int16"}}, Refused, "contradict"),
        ({}, BadInput, "nothing is named"),
    ],
)
def test_cast_io_says_what_is_wrong(options: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        apply(CastIo(**options), IDS)
    assert said in str(caught.value)


# -------------------------------------------------------------------------------- cut


def test_cut() -> None:
    after, report = apply(make("cut:outputs=c;a"))
    assert [v.name for v in after.graph.output] == ["c", "a"]
    assert [n.op_type for n in after.graph.node] == ["Pad", "Conv", "Mul"]
    assert [d.dim_param or d.dim_value for d in after.graph.output[0].type.tensor_type.shape.dim] == ["N", 4, 10, 10]
    assert report.verdict == "equal" and {o.name for o in report.verify.outputs} >= {"c", "a"}
    assert apply(make("cut:outputs=c;a"), after)[1].verdict == "untouched"


def test_cut_drops_inputs_and_keeps_outputs_that_are_named() -> None:
    after, _ = apply(Cut(outputs=["more"]), IDS)
    assert [v.name for v in after.graph.input] == ["x"] and len(after.graph.initializer) == 1
    after, _ = apply(Cut(outputs=["y", "row"]), IDS)
    assert [v.name for v in after.graph.output] == ["y", "row"]


@pytest.mark.parametrize(
    ("name", "kind", "said"), [("x", Refused, "no node"), ("w", Refused, "no node"), ("q", BadInput, "no tensor")]
)
def test_cut_says_what_is_wrong(name: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        apply(Cut(outputs=[name]))
    assert said in str(caught.value)


def test_names_of_a_model_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from surgery.cli import main

    onnx.save(parse("(float[n] x) => (float[n] y) { [evil] a = Relu (x) y = Neg (a) }"), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.node[0].name = "evil\x1b[31m"
    onnx.save(model, tmp_path / "m.onnx")
    assert main(["apply", str(tmp_path / "m.onnx"), "--pass", "remove-node:nodes=evi"]) == 2
    assert "\x1b[31m" not in capsys.readouterr().err
