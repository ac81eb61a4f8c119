"""Passes of the three kinds, run over whole models: what they change, what they keep, what goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import fixtures
from rewrites.passes.hardswish import HardSwish
from surgery import BadInput, Close, Edit, Exact, Missing, Pass, Refused, SurgeryError, registry
from surgery.model import from_proto
from surgery.nested import graphs
from surgery.passes import run_pass
from surgery.testing import difference, parse

IO = "(float[n, 4] x) => (float[n, 4] y) "


def run(model: onnx.ModelProto, seed: int = 0) -> list[np.ndarray]:
    """The results on drawn inputs; free dims are 2."""
    draw = np.random.default_rng(seed)
    feeds = {}
    held = {t.name for t in model.graph.initializer}
    for value in model.graph.input:
        if value.name in held:
            continue
        kind = value.type.tensor_type
        shape = [d.dim_value or 2 for d in kind.shape.dim]
        if kind.elem_type == TensorProto.BOOL:
            feeds[value.name] = np.ones(shape, bool)
        elif kind.elem_type == TensorProto.INT64:
            feeds[value.name] = np.full(shape, 3, np.int64)
        else:
            feeds[value.name] = np.array(draw.standard_normal(shape), helper.tensor_dtype_to_np_dtype(kind.elem_type))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    results: list[np.ndarray] = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    ).run(None, feeds)
    return results


class Clip6(Pass):
    """Of the kind `operator`: Relu as Clip, which is spelt in three ways."""

    operator = "Relu"
    contract = Exact()

    def rewrite(self, op, node):
        return op.Clip(node.inputs[0], 0.0)


class Sums(Pass):
    """Of the kind `pattern`: a mean as a sum."""

    contract = Close()

    def pattern(self, op, x):
        return op.Neg(op.Abs(x))

    def rewrite(self, op, match):
        x = match["x"]
        shape = match.shape
        if shape is None:
            return op.skip("the rank is unknown")
        return op.Squeeze(op.ReduceSum(op.Unsqueeze(op.Min(x, op.Neg(x)), [0]), [0], keepdims=1), [0])


class Whole(Pass):
    """Of the kind `apply`."""

    contract = Exact()

    def apply(self, model):
        edit, places = Edit(model, self.name), 0
        for graph in graphs(model):
            for node in list(graph):
                if node.op_type == "Neg":
                    new = edit.node("Sub", [edit.constant(np.float32(0), "", graph), node.inputs[0]], after=node)
                    edit.replace(node, new.outputs)
                    places += 1
        return places


TEXT = """g (float[n, 4] x, bool c, int64 m) => (float[n, 4] y, float[n, 4] z) {
    a = Relu (x)
    b = Abs (a)
    d = Neg (b)
    y = If (c) <
        then_branch = t () => (float[n, 4] p) { s = Abs (d) r = Neg (s) p = Relu (r) },
        else_branch = e () => (float[n, 4] q) { q = Relu (d) }
    >
    z = Loop (m, c, x) <body = l (int64 i, bool k, float[n, 4] v) => (bool o, float[n, 4] w) {
        o = Identity (k) h = Abs (v) f = Neg (h) w = Relu (f)
    }>
}"""
FUNCTION = """<ir_version: 8, opset_import: ["" : %d, "local" : 1]>
g (float[n, 4] x) => (float[n, 4] y) { y = local.f (x) }
<domain: "local", opset_import: ["" : %d]>
f (a) => (d) { b = Abs (a) c = Neg (b) d = Relu (c) }
"""


@pytest.mark.parametrize("opset", range(11, 23))
@pytest.mark.parametrize("one", [Clip6(), Sums(), Whole()], ids=lambda p: type(p).__name__)
def test_over_opsets_sub_graphs_and_functions(one: Pass, opset: int) -> None:
    texts = [parse(TEXT, opset, 8)]
    if opset >= 13:
        texts.append(parse(FUNCTION % (opset, opset)))
    for before in texts:
        whole = before.SerializeToString()
        model, report = run_pass(from_proto(before), one)
        assert before.SerializeToString() == whole
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        assert report.places == {"Clip6": 4, "Sums": 3, "Whole": 3}[type(one).__name__] if proto.functions == [] else 1
        for good, new in zip(run(before), run(proto), strict=True):
            np.testing.assert_array_equal(new, good)
        again, second = run_pass(from_proto(proto), one)
        assert second.places == 0 or isinstance(one, Sums)
        if not second.places:
            assert ir.to_proto(again).SerializeToString() == proto.SerializeToString()


@pytest.mark.parametrize("name", [n for n in fixtures.names() if n not in ("tps", "crnn", "flow_warp", "volume")])
def test_over_fixtures(name: str, tmp_path: Path) -> None:
    fixtures.write(name, tmp_path / "before.onnx")
    before = onnx.load(tmp_path / "before.onnx")  # with the weights that lie in a file beside it
    for one in (Clip6(), HardSwish(), Whole()):
        model, report = run_pass(from_proto(before), one)
        proto = ir.to_proto(model)
        if fixtures.loads(name):
            onnx.checker.check_model(proto, full_check=True)
        if not report.places:
            assert difference(proto, before) == ""


def test_without_the_standard_domain() -> None:
    """Nothing standard is imported until something standard is written."""

    class Lower(Pass):
        operator = "acme::Twice"
        contract = Exact()

        def rewrite(self, op, node):
            return op.Add(node.inputs[0], node.inputs[0])

    proto = parse(IO + "{ y = acme.Twice (x) }", {"acme": 1}, 8)
    model, report = run_pass(from_proto(proto), Lower())
    assert (report.places, report.at) == (1, ["y"])
    found = ir.to_proto(model)
    assert {o.domain: o.version for o in found.opset_import} == {"acme": 1, "": 15}
    onnx.checker.check_model(found, full_check=True)
    model, _ = run_pass(from_proto(proto), Clip6())
    assert [o.domain for o in ir.to_proto(model).opset_import] == ["acme"]


def test_the_standard_domain_by_its_other_name() -> None:
    proto = parse(IO + "{ y = Relu (x) }", {"ai.onnx": 13}, 8)
    proto.graph.node[0].domain = "ai.onnx"
    model, report = run_pass(from_proto(proto), Clip6())
    assert report.places == 1
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_types_where_one_node_keeps_onnx_from_inferring() -> None:
    class Typed(Pass):
        operator = "Relu"
        contract = Exact()

        def rewrite(self, op, node):
            assert (node.dtype, node.shape) == (np.float32, ("n", 4))
            return op.Clip(node.inputs[0], 0.0)

    for bad, domains in (
        ("acme.Unknown (x)", {"": 17}),
        ("Reshape (x)", {"": 17}),
        ("acme.Unknown (x)", {"": 17, "acme": 1}),
    ):
        model = from_proto(parse(IO + f"{{ u = {bad} a = Abs (x) b = Relu (a) y = Neg (b) }}", domains))
        assert run_pass(model, Typed())[1].places == 1


def test_one_name_in_two_branches() -> None:
    class Look(Pass):
        operator = "Relu"
        contract = Exact()
        seen: list[str] = []

        def rewrite(self, op, node):
            self.seen.append(str(node.inputs[0].dtype))
            return op.skip("seen")

    text = """(float[4] x, int32[4] k, bool c) => (float[4] y) {
        y = If (c) <
            then_branch = t () => (float[4] p) { h = Abs (x) p = Relu (h) },
            else_branch = e () => (float[4] q) { h = Abs (k) r = Relu (h) q = Cast <to = 1> (r) }
        >
    }"""
    one = Look(seen=[])
    run_pass(from_proto(parse(text)), one)
    assert one.seen == ["float32", "int32"]


# ----------------------------------------------------------------------------- errors


class Faulty(Pass):
    operator = "Relu"
    contract = Exact()
    how: str = ""

    def rewrite(self, op, node):
        if self.how == "refuse":
            raise Refused("not this one", cure="take another")
        if self.how == "input":
            raise BadInput("no such file", where="the file")
        if self.how == "opset":
            return op.Trilu(node.inputs[0])
        if self.how == "name":
            return op.Rleu(node.inputs[0])
        return 1 / 0


@pytest.mark.parametrize(
    ("how", "kind", "text", "where"),
    [
        ("refuse", Refused, "not this one", "here"),
        ("input", BadInput, "no such file", "the file"),
        ("opset", Refused, "Trilu .* opset 13", "here"),
        ("name", SurgeryError, "no standard operator 'Rleu'", "here"),
        ("", SurgeryError, "failed: ZeroDivisionError: division by zero", "here"),
    ],
)
def test_what_goes_wrong_names_the_pass_and_the_node(how: str, kind: type[SurgeryError], text: str, where: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        run_pass(from_proto(parse(IO + "{ [here] y = Relu (x) }", 13)), Faulty(how=how))
    assert (type(caught.value), caught.value.where) == (kind, where)
    assert "pass 'test-passes'" in caught.value.what
    if how == "":
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_goes_wrong_in_whole_graph_passes() -> None:
    class Whole(Pass):
        def apply(self, model):
            return [][1]

    with pytest.raises(SurgeryError, match="pass 'test-passes' failed: IndexError"):
        run_pass(from_proto(parse(IO + "{ y = Relu (x) }")), Whole())


class Counting(Pass):
    """Of the kind `apply`: says that it did something, and perhaps does it."""

    says: object = 0
    edit: str = ""
    contract = Exact()

    def __init__(self, says: object = 0, edit: str = "") -> None:
        self.says, self.edit = says, edit

    def apply(self, model):
        (node,) = model.graph
        if self.edit == "node":
            node.attributes["alpha"] = ir.AttrFloat32("alpha", 0.5)
        elif self.edit == "weight":
            value = next(iter(model.graph.initializers.values()))
            value.const_value = ir.tensor(value.const_value.numpy() + 1, name=value.name)
        elif self.edit == "name":
            node.outputs[0].name = "z"
        elif self.edit == "metadata":
            model.metadata_props["a"] = "b"
        return self.says


def weighted(size: int = 400) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name in "xy")
    weight = numpy_helper.from_array(np.ones(size, np.float32), "w")
    graph = helper.make_graph([helper.make_node("PRelu", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("edit", ["node", "weight", "name", "metadata"])
def test_an_edit_that_is_not_owned_up_to_is_an_error(edit: str) -> None:
    with pytest.raises(SurgeryError, match="pass 'test-passes': it changed the model and returned 0 places"):
        run_pass(from_proto(weighted()), Counting(0, edit))
    assert run_pass(from_proto(weighted()), Counting(1, edit))[1].places == 1
    with pytest.raises(SurgeryError, match="returned 0 places"):
        run_pass(from_proto(weighted(4)), Counting(0, edit))


def test_no_edit_is_none() -> None:
    for size in (4, 400):
        assert run_pass(from_proto(weighted(size)), Counting(np.int64(0)))[1].places == 0


@pytest.mark.parametrize("says", [-1, None, True, 1.0, "1", [1]])
@pytest.mark.parametrize("graphsurgeon", [False, True])
def test_a_number_of_places_that_is_none(says: object, graphsurgeon: bool) -> None:
    class Odd(Counting):
        pass

    Odd.graphsurgeon = graphsurgeon
    if graphsurgeon:
        pytest.importorskip("onnx_graphsurgeon")
        Odd.apply = lambda self, graph: self.says  # type: ignore[method-assign]
    with pytest.raises(SurgeryError, match=r"pass 'test-passes': `apply` returned .* no number of places"):
        run_pass(from_proto(weighted()), Odd(says))


@pytest.mark.parametrize("outputs", [[], [""]])
@pytest.mark.parametrize("one", [Clip6(), Sums(), HardSwish(), registry.make("gridsample")], ids=lambda p: p.name)
def test_a_node_without_an_output_is_left(one: Pass, outputs: list[str]) -> None:
    """No runtime loads it, but files from anywhere have it."""
    proto = parse(IO + "{ a = Abs (x) y = Exp (x) }", 17, 8)
    names = ["Relu", "HardSwish", "GridSample", "Neg"]
    proto.graph.node.extend(helper.make_node(n, ["a", "a"][: 1 + (n == "GridSample")], outputs) for n in names)
    model, report = run_pass(from_proto(proto), one)
    assert (report.places, len(report.skipped)) == (0, 1)
    assert "output" in report.skipped[0].why
    assert difference(ir.to_proto(model), proto) == ""


def test_an_attribute_of_another_type_is_no_text() -> None:
    """A graph where the operator has a string was printed with all of its nodes."""
    text = "(float[1, 1, 4, 4] x, float[1, 2, 2, 2] g) => (float[1, 1, 2, 2] y) { y = GridSample (x, g) }"
    proto = parse(text, 17, 8)
    inner = helper.make_graph([helper.make_node("Abs", ["x"], ["q"])], "inner", [], [onnx.ValueInfoProto(name="q")])
    proto.graph.node[0].attribute.append(helper.make_attribute("mode", inner))
    _, report = run_pass(from_proto(proto), registry.make("gridsample"))
    assert [skip.why for skip in report.skipped] == [
        "attribute 'mode' is of the type graph, not string, as the operator has it"
    ]


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 16, 24])
def test_shapes_in_the_body_of_a_scan(opset: int) -> None:
    text = """(float[t, n, 2] x) => (float[t, n, 2] y) {
        y = Scan <num_scan_inputs = 1, body = b (a) => (r) { c = Neg (a) r = Relu (c) }> (x)
    }"""
    seen = []

    class Look(Pass):
        operator = "Relu"

        def rewrite(self, op, node):
            seen.append((node.dtype, node.shape, node.inputs[0].shape))
            return op.skip("seen")

    run_pass(from_proto(parse(text, opset, 8)), Look())
    assert seen == [(np.float32, ("n", 2), ("n", 2))]


def test_a_node_without_a_name_is_named_by_its_output() -> None:
    with pytest.raises(SurgeryError) as caught:
        run_pass(from_proto(parse(IO + "{ y = Relu (x) }")), Faulty())
    assert caught.value.where == "y"


# ----------------------------------------------------------------------- graphsurgeon


class Surgeon(Pass):
    graphsurgeon = True
    contract = Exact()
    operation: str = "Relu"

    def apply(self, graph):
        found = [n for n in graph.nodes if n.op == self.operation]
        for node in found:
            node.op = "LeakyRelu"
            node.attrs = {"alpha": 0.0}
        return len(found)


def documented() -> onnx.ModelProto:
    """A model that says much about itself."""
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1], producer_name: "tests">
    g (float[n, 4] x, bool c) => (float[n, 4] y) {
        [first] a = Abs (x)
        [second] b = Relu (a)
        d = If (c) <
            then_branch = t () => (float[n, 4] p) { [inner] p = Abs (b) },
            else_branch = e () => (float[n, 4] q) { q = Neg (b) }
        >
        y = local.f (d)
    }
    <domain: "local", opset_import: ["" : 17]>
    f (a) => (d) { d = Exp (a) }
    """
    model = parse(text)
    model.doc_string, model.graph.doc_string = "about the model", "about the graph"
    model.domain, model.model_version = "tests.acme", 7
    model.metadata_props.add(key="author", value="someone")
    model.graph.metadata_props.add(key="layer", value="none")
    model.graph.node[0].doc_string = "about the node"
    model.graph.node[0].metadata_props.add(key="from", value="torch")
    model.graph.node[2].attribute[0].g.node[0].doc_string = "about the inner node"
    x = model.graph.input[0]
    x.doc_string = "about the input"
    x.type.denotation = "IMAGE"
    x.type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    info = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 4], "about a")
    model.graph.value_info.append(info)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    annotation = model.graph.quantization_annotation.add(tensor_name="a")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="unused")
    return model


def test_graphsurgeon_keeps_what_that_library_loses() -> None:
    pytest.importorskip("onnx_graphsurgeon")
    before = documented()
    model, report = run_pass(from_proto(before), Surgeon())
    after = ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    assert report.places == 1
    wanted = onnx.ModelProto()
    wanted.CopyFrom(before)
    wanted.graph.node[1].op_type = "LeakyRelu"
    wanted.graph.node[1].attribute.append(helper.make_attribute("alpha", 0.0))
    assert difference(after, wanted) == ""
    for name in ("doc_string", "domain", "model_version", "producer_name", "ir_version"):
        assert getattr(after, name) == getattr(before, name), name
    assert list(after.metadata_props) == list(before.metadata_props)
    graph, old = after.graph, before.graph
    assert (graph.doc_string, list(graph.metadata_props)) == (old.doc_string, list(old.metadata_props))
    assert (graph.input[0], graph.quantization_annotation) == (old.input[0], old.quantization_annotation)
    assert (graph.node[0].doc_string, list(graph.node[0].metadata_props)) == (
        "about the node",
        list(old.node[0].metadata_props),
    )
    branch = next(a.g for a in graph.node[2].attribute if a.name == "then_branch")
    inner = next(a.g for a in old.node[2].attribute if a.name == "then_branch")
    assert branch.node[0].doc_string == inner.node[0].doc_string
    assert next(v for v in graph.value_info if v.name == "a").doc_string == "about a"
    assert [t.name for t in graph.initializer] == ["unused"]


def test_graphsurgeon_without_a_place_leaves_the_model() -> None:
    pytest.importorskip("onnx_graphsurgeon")
    model = from_proto(documented())
    same, report = run_pass(model, Surgeon(operation="Sin"))
    assert same is model
    assert report.places == 0


def test_graphsurgeon_on_what_it_does_not_read() -> None:
    pytest.importorskip("onnx_graphsurgeon")
    text = "(optional(float[2]) x) => (float[2] y) { y = OptionalGetElement (x) }"
    proto = parse(text.replace("optional(float[2]) x", "float[2] x"), 18)
    proto.graph.input[0].type.CopyFrom(helper.make_optional_type_proto(helper.make_tensor_type_proto(1, [2])))
    with pytest.raises(Refused, match=r"test-passes.*does not read this model: .x. is of optional_type"):
        run_pass(from_proto(proto), Surgeon())


def test_graphsurgeon_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx_graphsurgeon", None)
    with pytest.raises(Missing, match="test-passes") as caught:
        run_pass(from_proto(documented()), Surgeon())
    assert "onnx-surgery[graphsurgeon]" in caught.value.cure


def test_graphsurgeon_and_a_file_that_is_mapped(tmp_path: Path) -> None:
    pytest.importorskip("onnx_graphsurgeon")
    from surgery import load, save

    weights = np.random.default_rng(0).standard_normal((400, 4)).astype(np.float32)
    proto = parse("(float[n, 400] x) => (float[n, 4] y) { a = MatMul (x, w) y = Relu (a) }")
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(proto, tmp_path / "a.onnx")
    model, _ = run_pass(load(tmp_path / "a.onnx"), Surgeon())
    save(model, tmp_path / "b.onnx")
    after = onnx.load(tmp_path / "b.onnx")
    assert [n.op_type for n in after.graph.node] == ["MatMul", "LeakyRelu"]
    np.testing.assert_array_equal(numpy_helper.to_array(after.graph.initializer[0]), weights)
