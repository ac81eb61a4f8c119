"""Editing by hand: names, constants, what goes with a node, and what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from surgery import BadInput, Changes, Close, Edit, Exact, Pass, SurgeryError
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.testing import parse

IO = "(float[n, 4] x) => (float[n, 4] y) "


def load(text: str, **how: Any) -> ir.Model:
    return from_proto(parse(text, **how))


def checked(model: ir.Model) -> onnx.ModelProto:
    """The model as a file would hold it, which the full checker passes."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def named(model: ir.Model, name: str) -> ir.Value:
    for node in model.graph:
        for value in node.outputs:
            if value.name == name:
                return value
    return next(v for v in (*model.graph.inputs, *model.graph.initializers.values()) if v.name == name)


def maker(model: ir.Model, name: str) -> ir.Node:
    producer = named(model, name).producer()
    assert producer is not None
    return producer


def nodes(proto: onnx.ModelProto) -> list[tuple[str, list[str], list[str]]]:
    return [(n.op_type, list(n.input), list(n.output)) for n in proto.graph.node]


# ---------------------------------------------------------------------------- replace


def test_a_replaced_output_keeps_its_name() -> None:
    model = load(IO + "{ a = Abs(x) y = Neg(a) }")
    edit = Edit(model, "test")
    old = maker(model, "a")
    new = edit.node("Relu", [model.graph.inputs[0]], base="a", after=old)
    edit.replace(old, new.outputs)
    proto = checked(model)
    assert nodes(proto) == [("Relu", ["x"], ["a"]), ("Neg", ["a"], ["y"])]
    assert new.meta["surgery"] == "test"
    assert "surgery" not in str(proto), "nothing of this is written into the file"


def test_a_new_value_gets_a_new_name_where_results_change() -> None:
    class Half(Pass):
        operator = "Abs"
        contract = Changes("it is half")

        def rewrite(self, op, node):
            return op.Mul(node.inputs[0], 0.5)

    model, _ = run_pass(load(IO + "{ a = Abs(x) y = Neg(a) }"), Half())
    (first, second) = nodes(checked(model))
    assert first[2] != ["a"]
    assert second[1] == first[2]
    model, _ = run_pass(load(IO + "{ y = Abs(x) }"), Half())
    assert nodes(checked(model))[0][2] == ["y"], "the name of an output is what callers ask for"


class Returns(Pass):
    """Puts what a test says in the place of Split."""

    operator = "Split"
    contract = Close()
    how: str = ""

    def rewrite(self, op, node):
        x = node.inputs[0]
        return {
            "input": lambda: [x, op.Neg(x)],
            "same": lambda: [op.Neg(x)] * 2,
            "swapped": lambda: list(reversed(op.call("Split", [x], {"num_outputs": 2}))),
            "one": lambda: [op.Neg(x), None],
            "own": lambda: node.outputs,
            "circle": lambda: [op.Neg(node.outputs[0]), op.Abs(x)],
            "many": lambda: [op.Neg(x)] * 3,
            "none": lambda: None,
            "text": lambda: "x",
            "constants": lambda: [op.constant(np.ones((2, 2), np.float32))] * 2,
        }[self.how]()


SPLIT = "(float[2, 4] x) => (float[2, 2] y, float[2, 2] z) { a, b = Split<num_outputs = 2, axis = 1>(x) "


@pytest.mark.parametrize("rest", ["y = Abs(a) z = Exp(b) }", "y = Identity(a) z = Identity(b) }"])
@pytest.mark.parametrize("how", ["input", "same", "constants"])
def test_values_that_are_there_already(how: str, rest: str) -> None:
    text = SPLIT.replace("[2, 4]", "[2, 2]").replace(", axis = 1", "") if how != "constants" else SPLIT
    text = text.replace("float[2, 2] y, float[2, 2] z", "float[n, m] y, float[n, m] z")
    model, report = run_pass(load(text + rest, opset=18), Returns(how=how))
    assert report.places == 1
    onnx.checker.check_model(ir.to_proto(model))
    assert "Split" not in str(ir.to_proto(model))


@pytest.mark.parametrize("how", ["input", "same", "constants"])
def test_values_that_are_there_already_as_outputs(how: str) -> None:
    text = "(float[2, 2] x) => (float[n, m] y, float[n, m] z) { y, z = Split<num_outputs = 2>(x) }"
    model, _ = run_pass(load(text, opset=18), Returns(how=how))
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    assert [v.name for v in proto.graph.output] == ["y", "z"]
    assert {name for n in proto.graph.node for name in n.output} >= {"y", "z"}


def test_an_output_that_nothing_reads_needs_no_value() -> None:
    text = "(float[2, 4] x) => (float[n, m] y) { a, b = Split<num_outputs = 2, axis = 1>(x) y = Abs(a) }"
    model, _ = run_pass(load(text, opset=18), Returns(how="one"))
    assert [n[0] for n in nodes(checked(model))] == ["Neg", "Abs"]
    with pytest.raises(SurgeryError, match="'b' is read and has no replacement"):
        run_pass(load(SPLIT + "y = Abs(a) z = Exp(b) }", opset=18), Returns(how="one"))


def test_an_output_without_a_name_takes_no_name() -> None:
    class Pool(Pass):
        operator = "MaxPool"
        contract = Exact()

        def rewrite(self, op, node):
            y, i = op.MaxPool(node.inputs[0], kernel_shape=[1, 1], outputs=2)
            return [op.Add(y, op.Cast(op.Mul(i, 0), to=np.float32)), i]

    text = "(float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y) { y, = MaxPool<kernel_shape = [1, 1]>(x) }"
    model = load(text.replace("y, =", "y ="))
    node = model.graph[0]
    model.graph[0].resize_outputs(2)
    node.outputs[1].name = ""
    model, _ = run_pass(model, Pool())
    checked(model)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("own", "is read and has no replacement"),
        ("circle", "reads what it replaces"),
        ("many", "3 values for 2 outputs"),
        ("none", "returned None"),
        ("text", "returned 'x'"),
    ],
)
def test_values_that_can_not_be_put_there(how: str, why: str) -> None:
    with pytest.raises(SurgeryError, match=why) as caught:
        run_pass(load(SPLIT.replace("{ a", "{ [cut] a") + "y = Abs(a) z = Exp(b) }", opset=18), Returns(how=how))
    assert caught.value.where == "cut"
    assert "test-edit" in caught.value.what


# ----------------------------------------------------------------------------- remove


def test_what_only_the_removed_read_goes_with_them() -> None:
    text = """(float[n, 4] x, float[n, 4] w) => (float[n, 4] y)
    <int64[1] one = {1}, float[4] shared = {1, 2, 3, 4}, float[4] alone = {4, 3, 2, 1}> {
        s = Shape(x)
        n = Gather(s, zero)
        zero = Constant <value_ints = [0]> ()
        t = Concat <axis = 0> (n, minus)
        minus = Constant <value_ints = [-1]> ()
        a = Reshape(x, t)
        b = Add(a, alone)
        c = Add(b, shared)
        d = Mul(w, shared)
        y = Add(c, d)
    }"""
    model = load(text)
    edit = Edit(model)
    old = maker(model, "c")
    edit.replace(old, edit.node("Neg", [model.graph.inputs[0]], after=old).outputs)
    proto = checked(model)
    assert [n.op_type for n in proto.graph.node] == ["Neg", "Mul", "Add"]
    assert {t.name for t in proto.graph.initializer} == {"one", "shared"}, "what nobody read before stays"


def test_what_nothing_reads_is_dropped() -> None:
    text = IO + "<float[1] w = {2.0}, float[1] v = {3.0}> { a = Mul(w, v) b = Abs(a) c = Neg(x) y = Relu(c) }"
    model = load(text)
    Edit(model).drop([named(model, name) for name in ("b", "c", "x", "y")])
    assert [node[0] for node in nodes(checked(model))] == ["Neg", "Relu"]
    assert not model.graph.initializers
    model = load(text)
    Edit(model).drop([named(model, name) for name in ("a", "w")])  # something reads them
    assert nodes(ir.to_proto(model)) == nodes(ir.to_proto(load(text)))


def test_what_a_removed_sub_graph_read_goes_too() -> None:
    text = """(float[4] x, bool c) => (float[4] y) <float[4] k = {1, 2, 3, 4}> {
        s = Exp(x)
        v = If (c) <
            then_branch = t () => (float[4] p) { p = Mul(s, k) }, else_branch = e () => (float[4] q) { q = Sin(x) }
        >
        y = Neg(v)
    }"""
    model = load(text)
    edit = Edit(model)
    old = maker(model, "v")
    edit.replace(old, edit.node("Abs", [model.graph.inputs[0]], after=old).outputs)
    proto = checked(model)
    assert ([n.op_type for n in proto.graph.node], len(proto.graph.initializer)) == (["Abs", "Neg"], 0)


def test_a_place_in_a_sub_graph_takes_constants_from_around_it() -> None:
    class Drop(Pass):
        operator = "Mul"
        contract = Exact()

        def rewrite(self, op, node):
            return op.Neg(node.inputs[0])

    text = """(float[4] x, bool c) => (float[4] y) <float[4] k = {1, 2, 3, 4}> {
        h = Constant <value_float = 2.0> ()
        y = If (c) <
            then_branch = t () => (float[4] p) { p = Mul(x, k) }, else_branch = e () => (float[4] q) { q = Mul(x, h) }
        >
    }"""
    model, report = run_pass(load(text), Drop())
    proto = checked(model)
    assert (report.places, [n.op_type for n in proto.graph.node], len(proto.graph.initializer)) == (2, ["If"], 0)


# ------------------------------------------------------------------------- insert


def test_insert_after() -> None:
    model = load("(float[n, 4] x) => (float[n, 4] y, float[n, 4] z) { y = Abs(x) z = Neg(y) }")
    edit = Edit(model)
    edit.insert_after(named(model, "y"), ir.node("Relu", [None]))
    edit.insert_after(named(model, "x"), ir.node("Exp", [None]))
    proto = checked(model)
    assert [n.op_type for n in proto.graph.node] == ["Exp", "Abs", "Relu", "Neg"]
    exp, abs_, relu, neg = proto.graph.node
    assert (exp.input, abs_.input, relu.output, neg.input) == (["x"], exp.output, ["y"], ["y"])
    assert [v.name for v in proto.graph.output] == ["y", "z"]


def test_insert_after_with_a_node_that_reads_the_value_twice() -> None:
    model = load(IO + "{ a = Abs(x) y = Neg(a) }")
    value = named(model, "a")
    Edit(model).insert_after(value, ir.node("Mul", [value, value]))
    assert nodes(checked(model))[1][1] == ["a", "a"]


def test_insert_after_what_is_both_an_input_and_an_output() -> None:
    model = load("(float[n, 4] x) => (float[n, 4] x, float[n, 4] y) { y = Neg(x) }")
    with pytest.raises(BadInput, match="both ends keep the name"):
        Edit(model).insert_after(model.graph.inputs[0], ir.node("Relu", [None]))
    assert nodes(ir.to_proto(model)) == [("Neg", ["x"], ["y"])]


def test_insert_after_a_weight() -> None:
    model = load(IO + "<float[4] k = {1, 2, 3, 4}> { y = Mul(x, k) }")
    Edit(model).insert_after(named(model, "k"), ir.node("Neg", [None]))
    assert [n[0] for n in nodes(checked(model))] == ["Neg", "Mul"]


def test_insert_after_what_a_sub_graph_reads() -> None:
    text = """(float[4] x, bool c) => (float[4] y) {
        s = Exp(x)
        y = If (c) <
            then_branch = t () => (float[4] p) { p = Neg(s) }, else_branch = e () => (float[4] q) { q = Sin(x) }
        >
    }"""
    model = load(text)
    out = Edit(model).insert_after(named(model, "s"), ir.node("Relu", [None]))
    proto = checked(model)
    assert proto.graph.node[2].attribute[0].g.node[0].input == [out.name]


def test_insert_before() -> None:
    model = load("(float[n, 4] x) => (float[n, 4] y, float[n, 4] z) { a = Abs(x) y = Neg(a) z = Exp(a) }")
    edit = Edit(model)
    edit.insert_before(maker(model, "y"), 0, ir.node("Relu", [None]))
    assert [(n[0], n[1]) for n in nodes(checked(model))][1:] == [
        ("Relu", ["a"]),
        ("Neg", ["a/Relu"]),
        ("Exp", ["a"]),
    ]
    with pytest.raises(ValueError, match="is absent"):
        clip = load(IO + "<float h = {1}> { y = Clip(x, , h) }")
        Edit(clip).insert_before(clip.graph[0], 1, ir.node("Neg", [None]))


# ---------------------------------------------------------------------- constants


def test_equal_constants_are_one() -> None:
    edit = Edit(load(IO + "{ y = Neg(x) }"))
    k = edit.constant(np.float32([1, 2]))
    assert edit.constant(np.array([1, 2], np.float32)) is k
    different = [
        edit.constant(array)
        for array in (
            np.array([1, 2], np.float64),
            np.array([[1, 2]], np.float32),
            np.array(0.0, np.float32),
            np.array(-0.0, np.float32),
            np.array(0x7FC00000, np.uint32).view(np.float32),
            np.array(0x7FC00001, np.uint32).view(np.float32),
            np.array([True, False]),
            np.array(["a", "b"]),
            np.array(["a", "c"]),
        )
    ]
    assert len({id(v) for v in [k, *different]}) == 10
    assert edit.constant(np.array(["a", "b"])) is different[-2]
    assert len({v.name for v in [k, *different]}) == 10


def test_a_constant_that_went_is_made_anew() -> None:
    for ir_version in (3, 8):
        model = load(IO + "{ a = Neg(x) y = Exp(a) }", ir_version=ir_version)
        edit = Edit(model)
        node = edit.node("Mul", [model.graph.inputs[0], edit.constant(np.float32(2))], after=maker(model, "a"))
        edit.replace(maker(model, "a"), node.outputs)
        other = edit.node("Abs", [model.graph.inputs[0]], after=maker(model, "a"))
        edit.replace(maker(model, "a"), other.outputs)
        last = edit.node("Mul", [model.graph.inputs[0], edit.constant(np.float32(2))], after=maker(model, "a"))
        edit.replace(maker(model, "a"), last.outputs)
        assert next(n for n in nodes(checked(model)) if n[0] != "Constant")[0] == "Mul"


def test_before_ir_version_4_an_initializer_is_an_input() -> None:
    class Scale(Pass):
        operator = "Abs"
        contract = Exact()

        def rewrite(self, op, node):
            return op.Mul(node.inputs[0], 2.0)

    class Twos(Pass):
        contract = Exact()

        def pattern(self, op, x):
            return op.Mul(x, 2.0)

        def rewrite(self, op, match):
            return op.Add(match["x"], match["x"])

    proto = parse("(float[n, 4] x, float k) => (float[n, 4] y) { a = Mul(x, k) y = Abs(a) }", 8, 3)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2, np.float32), "k"))
    model, report = run_pass(from_proto(proto), Twos())
    assert report.places == 1, "no caller can give another value there"
    model, _ = run_pass(model, Scale())
    found = checked(model)
    assert {t.name for t in found.graph.initializer} <= {v.name for v in found.graph.input}
    assert [n.op_type for n in found.graph.node] == ["Constant", "Add", "Mul"]
    proto.ir_version = 8
    assert run_pass(from_proto(proto), Twos())[1].places == 0, "from 4 on it is a default"


def test_constants_inside_functions_and_sub_graphs() -> None:
    class Scale(Pass):
        operator = "Abs"
        contract = Exact()

        def rewrite(self, op, node):
            return op.Mul(op.Add(node.inputs[0], op.Add(np.float32([1]), 2.0)), 2.0)

    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[4] x, bool c) => (float[4] y) {
        z = If (c) <
            then_branch = t () => (float[4] p) { p = Abs (x) }, else_branch = e () => (float[4] q) { q = Abs (x) }
        >
        y = local.twice (z, c)
    }
    <domain: "local", opset_import: ["" : 17]>
    twice (a, c) => (b) {
        h = Abs(a)
        b = If (c) <
            then_branch = t () => (float[4] p) { p = Abs (h) }, else_branch = e () => (float[4] q) { q = Neg (h) }
        >
    }
    """
    proto = parse(text)
    model, report = run_pass(from_proto(proto), Scale())
    assert (report.places, report.skipped) == (4, [])
    found = checked(model)
    assert len(found.graph.initializer) == 2
    assert [n.op_type for n in found.functions[0].node] == ["Constant", "Constant", "Add", "Mul", "If"]
    for model_ in (proto, found):
        names = [name for n in model_.graph.node for name in n.output]
        assert len(names) == len(set(names))


# --------------------------------------------------------------------------- rename


def test_rename() -> None:
    text = """(float[4] x, bool c) => (float[4] y) <float[4] k = {1, 2, 3, 4}> {
        [a] s = Mul(x, k)
        y = If (c) <
            then_branch = t () => (float[4] p) { p = Mul(s, k) }, else_branch = e () => (float[4] q) { q = Sin(x) }
        >
    }"""
    model = load(text)
    edit = Edit(model)
    for old, new in (("x", "image"), ("y", "text"), ("k", "weights"), ("s", "a"), ("p", "then")):
        edit.rename(old, new)
    proto = checked(model)
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("image", "text")
    assert nodes(proto)[0] == ("Mul", ["image", "weights"], ["a"])
    branch = next(a.g for a in proto.graph.node[1].attribute if a.name == "then_branch")
    assert (list(branch.node[0].input), branch.output[0].name) == (["a", "weights"], "then")
    with pytest.raises(BadInput, match="no tensor 'nope'"):
        edit.rename("nope", "other")
    with pytest.raises(BadInput, match="'text' is taken"):
        edit.rename("image", "text")
    assert edit.unique("image") == "image_1"


def test_names_are_unique() -> None:
    class Scale(Pass):
        operator = "Abs"
        contract = Exact()

        def rewrite(self, op, node):
            k = op.constant(np.float32(2))
            return op.Mul(op.Add(op.Mul(node.inputs[0], k), k), 3.0)

    text = (
        IO
        + """{
        [n] a = Abs(x) [n] b = Abs(a) ["n/Mul"] c = Abs(b) ["n/constant"] y = Abs(c)
    }"""
    )
    model, report = run_pass(load(text.replace('["n/Mul"]', "[m]").replace('["n/constant"]', "[n]")), Scale())
    proto = checked(model)
    assert report.places == 4
    values = [name for n in proto.graph.node for name in n.output] + [t.name for t in proto.graph.initializer]
    assert len(values) == len(set(values))
    assert len({n.name for n in proto.graph.node}) == len(proto.graph.node)
    assert len(proto.graph.initializer) == 2
    assert not [name for name in values if "#" in name]


def test_types_that_are_no_tensors() -> None:
    class Look(Pass):
        operator = "SequenceAt"
        contract = Exact()

        def rewrite(self, op, node):
            whole, _ = node.inputs
            assert (whole.dtype, whole.shape) == (None, None)
            assert (node.dtype, node.constant(1)) == (np.float32, 0)
            return op.Identity(op.SequenceAt(whole, 0))

    text = "(seq(float[2]) x) => (float[2] y) { i = Constant<value_int = 0>() y = SequenceAt(x, i) }"
    model, report = run_pass(load(text), Look())
    assert report.places == 1
    checked(model)
