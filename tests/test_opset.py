"""The pass `opset`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import fixtures
import surgery
from rewrites.passes.opset import Opset
from surgery import BadInput, Refused
from surgery.testing import parse

MODELS = os.environ.get("SURGERY_MODELS", "")


def convert(text: str | onnx.ModelProto, to: int, opset: int = 12) -> onnx.ModelProto:
    result = surgery.apply(parse(text, opset), [Opset(to=to)])
    assert result.model is not None, result.report
    proto = ir.to_proto(result.model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


@pytest.mark.parametrize(("name", "to"), [("gru_decoder", 17), ("hardswish", 20), ("crnn", 21)])
def test_fixtures_up_and_down(name: str, to: int) -> None:
    before = fixtures.build(name)
    after = convert(before, to)
    assert {o.domain: o.version for o in after.opset_import}[""] == to
    assert after.metadata_props == before.metadata_props and after.producer_name == before.producer_name
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    names = {node.name for node in before.graph.node if node.name}
    assert names <= {node.name for node in after.graph.node}
    assert surgery.apply(after, [Opset(to=to)]).report.verdict == "untouched"


def test_attributes_become_inputs() -> None:
    text = """(float[N, 4, 1] x) => (float[N] y) {
        [squeeze] a = Squeeze <axes = [2]> (x) [sum] y = ReduceSum <axes = [1], keepdims = 0> (a) }"""
    after = convert(text, 13)
    assert [(n.name, len(n.input)) for n in after.graph.node if n.op_type != "Constant"] == [("squeeze", 2), ("sum", 2)]
    back = convert(after, 12)
    assert [len(n.input) for n in back.graph.node if n.op_type != "Constant"] == [1, 1]


def test_branches_are_converted() -> None:
    text = """(float[N, 4] x, bool c) => (float[N, 4] y) {
        y = If (c) <then_branch = t () => (float[N, 4] a) { a = Softmax <axis = 1> (x) },
                    else_branch = e () => (float[N, 4] b) { b = Softmax <axis = 0> (x) }> }"""
    after = convert(text, 13)
    assert "Flatten" in {n.op_type for n in after.graph.node[0].attribute[0].g.node}


def test_weights_are_not_seen_by_the_converter(tmp_path: Path) -> None:
    """Those outside stay there, and those of any size come back under their names."""
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    fixtures.write("external_data", path)
    assert surgery.apply(path, ["opset:to=19"], out).ok
    before, after = (onnx.load(p, load_external_data=False).graph.initializer for p in (path, out))
    assert {t.name for t in before} <= {t.name for t in after}
    assert any(t.data_location == onnx.TensorProto.EXTERNAL for t in after)
    onnx.checker.check_model(out, full_check=True)


def test_other_domains_stay() -> None:
    text = "(float[N, 4] x) => (float[N, 4] y) { a = acme.Foo <k = 3> (x) y = Softmax (a) }"
    result = surgery.apply(parse(text, {"": 11, "acme": 2}), [Opset(to=12)], verify="none")
    assert result.model is not None and result.model.opset_imports == {"": 12, "acme": 2}
    assert result.model.graph[0].attributes["k"].as_int() == 3


@pytest.mark.parametrize(
    ("body", "opset", "to", "node", "operator"),
    [
        ("[grid] y = GridSample (x, x)", 16, 11, "grid", "GridSample"),
        ('[sum] y = Einsum <equation = "abcd->abcd"> (x)', 14, 11, "sum", "Einsum"),
        ("[wide] d = Cast <to = 11> (x) [act] r = Relu (d) y = Cast <to = 1> (r)", 18, 9, "act", "Relu"),
    ],
)
def test_what_can_not_be_converted_is_named(body: str, opset: int, to: int, node: str, operator: str) -> None:
    text = f"(float[1, 2, 2, 2] x) => (float[1, 2, 2, 2] y) {{ {body} }}"
    with pytest.raises(Refused, match=f"{operator} can't be converted to opset {to}") as caught:
        surgery.apply(parse(text, opset), [Opset(to=to)], verify="none")
    assert caught.value.where == node and "/" not in str(caught.value.cure)


LARGER = ("2.0, 2.0", "2.5, 1.7")


@pytest.mark.parametrize("to", [11, 13, 20])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(
    ("operator", "opset", "scales"),
    [*(("Upsample", 9, s) for s in LARGER), *(("Resize", 10, s) for s in (*LARGER, "0.6, 0.4"))],
)
def test_an_old_resize_samples_where_it_did(operator: str, opset: int, scales: str, mode: str, to: int) -> None:
    text = f"""(float[N, 2, 7, 9] x) => (float[N, 2, H, W] y) <float[4] s = {{1.0, 1.0, {scales}}}> {{
        r = {operator} <mode = "{mode}"> (x, s) y = Relu (r) }}"""
    report = surgery.apply(parse(text, opset), [Opset(to=to)]).report
    assert report.verdict == "equal", str(report.verify)


DOWN = {  # what onnx's converter has no way down for; what is left of it at opset 11
    "y = Relu (x)": ["Relu"],
    "y = HardSwish (x)": ["HardSigmoid", "Mul"],
    "y = Softmax <axis = 1> (x)": ["Transpose", "Softmax", "Transpose"],
    "s = Shape <start = 1, end = 3> (x) t = ReduceProd (s) f = Cast <to = 1> (t) y = Add (x, f)": 5 * [""],
    "s = Shape (x) y = Reshape <allowzero = 1> (x, s)": ["Shape", "Reshape"],
    "a, b = Split <num_outputs = 2, axis = 1> (x) y = Concat <axis = 1> (b, a)": ["Split", "Concat"],
    "k = Constant <value_ints = [2, 3]> () m = ReduceMean (x, k) y = Sub (x, m)": ["ReduceMean", "Sub"],
    "k = Constant <value_ints = [0]> () u = Unsqueeze (x, k) r = Relu (u) y = Squeeze (r, k)": 3 * [""],
    "p = Constant <value_ints = [1, 1]> () k = Constant <value_ints = [3]> () q = Pad (x, p, , k) y = "
    "AveragePool <kernel_shape = [1, 3]> (q)": ["Pad", "AveragePool"],
    's = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> () r = Resize <mode = "linear"> (x, , s) y = '
    "MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)": ["Resize", "MaxPool"],
    # int32, for ONNX Runtime's Max of int64 is wrong beyond 2^32.
    "i = Cast <to = 6> (x) z = Constant <value = int32 {0}> () j = Max (i, z) y = Cast <to = 1> (j)": 4 * [""],
    "c = ReduceMax <keepdims = 0> (x) z = Constant <value_float = 0.1> () b = Greater (c, z) y = If (b) <then_branch = "
    "t () => (float[N, 4, 6, 8] a) { a = Softmax <axis = 2> (x) }, else_branch = "
    "e () => (float[N, 4, 6, 8] a) { a = Relu (x) }>": 3 * [""],
}


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("body", DOWN)
def test_down_to_11(body: str, opset: int) -> None:
    after = convert(f"(float[N, 4, 6, 8] x) => (float[N, 4, 6, 8] y) {{ {body} }}", 11, opset)
    assert {o.domain: o.version for o in after.opset_import}[""] == 11
    nodes = [node.op_type for node in after.graph.node if node.op_type != "Constant"]
    assert nodes == DOWN[body] or ("" in DOWN[body] and len(nodes) == len(DOWN[body]))


def test_functions() -> None:
    text = """<ir_version: 8, opset_import: ["" : 12, "f" : 1]>
        m (float[N, 4] x) => (float[N, 4] y) { y = f.act (x) }
        <domain: "f", opset_import: ["" : 12]> act (a) => (b) { c = Elu (a) b = OPERATOR (c) }"""
    with pytest.raises(Refused, match="Softmax in the function 'act'"):
        surgery.apply(parse(text.replace("OPERATOR", "Softmax")), [Opset(to=13)], verify="none")
    after = convert(text.replace("OPERATOR (c)", "Elu (c)"), 15)
    assert after.functions[0].opset_import[0].version == 15 and len(after.functions[0].node) == 2


@pytest.mark.parametrize("to", [0, 999])
def test_no_such_opset(to: int) -> None:
    with pytest.raises(BadInput, match="there is no opset"):
        surgery.apply(parse("(float[n] x) => (float[n] y) { y = Relu (x) }"), [Opset(to=to)])


def test_a_real_model_against_its_stored_results(tmp_path: Path) -> None:
    path, out = Path(MODELS) / "det_v4.onnx", tmp_path / "out.onnx"
    if not MODELS or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    import onnxruntime

    assert surgery.apply(path, [Opset(to=19)], out, verify="none").ok
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    stored = np.load(path.with_suffix(".npz"))
    (result,) = session.run(None, {source.name: stored[f"{source.name}.0"]})
    np.testing.assert_allclose(result, stored[f"{target.name}.0"], rtol=0, atol=1e-4)
