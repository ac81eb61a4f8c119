"""The matcher: what is a place, what is a near miss and why, and what it costs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from surgery import Close, Exact, Pass
from surgery.errors import SurgeryError
from surgery.match import Pattern
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.report import PassReport
from surgery.testing import parse


class Silu(Pass):
    contract = Close()

    def pattern(self, op, x):
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op, match):
        return op.HardSwish(match.inputs[0])


class Scale(Pass):
    contract = Exact()

    def pattern(self, op, x):
        return op.Mul(op.Add(x, 3), 0.5)

    def rewrite(self, op, match):
        return op.Abs(match["x"])


class Relus(Pass):
    contract = Exact()

    def pattern(self, op, x):
        return op.Relu(op.Relu(x))

    def rewrite(self, op, match):
        return op.Relu(match["x"])


class Twins(Pass):
    """Two outputs, made by one operator."""

    contract = Close()

    def pattern(self, op, x):
        return op.Neg(x), op.Abs(x)

    def rewrite(self, op, match):
        x = match["x"]
        return op.Mul(x, -1.0), op.Max(x, op.Neg(x)) if False else op.Relu(x)


class Last(Pass):
    contract = Exact()

    def pattern(self, op, x):
        return op.Softmax(x, axis=-1)

    def rewrite(self, op, match):
        return op.Abs(match["x"])


class AnyAxis(Pass):
    contract = Exact()

    def pattern(self, op, x):
        return op.Softmax(x, axis=op.any)

    def rewrite(self, op, match):
        return op.Abs(op.Transpose(match["x"], perm=[match.attr("axis"), 0]))


class Bounded(Pass):
    contract = Exact()

    def pattern(self, op, x, low=None, high=None):
        return op.Abs(op.Clip(x, low, high))

    def rewrite(self, op, match):
        assert (match.constant(1) is None) == (match["low"] is None)
        return op.Exp(match["x"])


def run(one: Pass, text: str | onnx.ModelProto, **how: Any) -> tuple[onnx.ModelProto, PassReport]:
    model, report = run_pass(from_proto(parse(text, **how)), one)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto, report


def ops(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node if n.op_type != "Constant"]


IO = "(float[n, 4] x) => (float[n, 4] y) "


@pytest.mark.parametrize("operands", ["x, s", "s, x"])
def test_operands_in_either_order(operands: str) -> None:
    proto, report = run(Silu(), IO + f"{{ s = Sigmoid(x) y = Mul({operands}) }}")
    assert (ops(proto), report.places) == (["HardSwish"], 1)


def test_in_another_domain_operands_have_their_order() -> None:
    class Odd(Pass):
        def pattern(self, op, x):
            return op.Mul(x, op.Sigmoid(x), domain="odd")

        def rewrite(self, op, match):
            return op.HardSwish(match["x"])

    text = IO + "{ s = Sigmoid(x) y = odd.Mul(s, x) }"
    _, report = run_pass(from_proto(parse(text, opset={"": 17, "odd": 1})), Odd())
    assert report.places == 0
    _, report = run_pass(from_proto(parse(text.replace("s, x", "x, s"), opset={"": 17, "odd": 1})), Odd())
    assert report.places == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("node", [False, True], ids=["initializer", "node"])
def test_constants_by_value_at_any_rank(dtype: Any, shape: tuple[int, ...], node: bool) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = {"k": np.full(shape, 3, dtype), "h": np.full(shape, 0.5, dtype)}
    nodes = [helper.make_node("Add", ["k", "x"], ["a"]), helper.make_node("Mul", ["a", "h"], ["y"])]
    tensors = [onnx.numpy_helper.from_array(v, k) for k, v in values.items()]
    if node:
        nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors] + nodes
    info = [helper.make_tensor_value_info(n, kind, ["n", 2, 3]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], [] if node else tensors)
    proto, report = run(Scale(), helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert (ops(proto), report.places) == (["Abs"], 1)
    assert not proto.graph.initializer, "what only the removed nodes read goes with them"
    assert len(proto.graph.node) == 1


def test_a_constant_that_widens_is_none() -> None:
    text = IO.replace("(float[n, 4] y)", "(float[1, n, 4] y)")
    text += "<float[1,1,1] k = {3}, float[1] h = {0.5}> { a = Add(x, k) y = Mul(a, h) }"
    _, report = run(Scale(), text)
    assert report.places == 0
    assert "rank" in report.skipped[0].why


@pytest.mark.parametrize(
    ("k", "h", "why"),
    [
        ("float k = {4}", "float h = {0.5}", "not the constant 3"),
        ("float k = {3}", "float h = {0.25}", "not the constant 0.5"),
        ("float[2] k = {3, 3}", "float h = {0.5}", "not the constant 3"),
    ],
)
def test_other_constants_are_near_misses(k: str, h: str, why: str) -> None:
    text = f"(float[n, 2] x) => (float[n, 2] y) <{k}, {h}> {{ a = Add(x, k) y = Mul(a, h) }}"
    proto, report = run(Scale(), text)
    assert (ops(proto), report.places) == (["Add", "Mul"], 0)
    assert report.skipped == [] or why in report.skipped[0].why


def test_a_fraction_is_not_a_whole_number() -> None:
    text = "(int32[4] x) => (int32[4] y) <int32 k = {3}, int32 h = {0}> { a = Add(x, k) y = Mul(a, h) }"
    assert run(Scale(), text)[1].places == 0


@pytest.mark.parametrize(
    ("attributes", "places"), [("", 1), ("<axis = -1>", 1), ("<axis = 1>", 0), ("<axis = 0>", 0)], ids=str
)
def test_attributes_have_the_defaults_of_the_schema(attributes: str, places: int) -> None:
    assert run(Last(), IO + f"{{ y = Softmax {attributes} (x) }}")[1].places == places


def test_the_defaults_are_those_of_the_model_s_opset() -> None:
    # Below 13, axis is 1 where it is not written.
    assert run(Last(), IO + "{ y = Softmax (x) }", opset=12)[1].places == 0


def test_any_attribute() -> None:
    class Two(Pass):
        def pattern(self, op, x):
            return op.LeakyRelu(x, alpha=op.any)

        def rewrite(self, op, match):
            return op.Elu(match["x"], alpha=match.attr("alpha"))

    proto, report = run(Two(), IO + "{ a = LeakyRelu <alpha = 0.25> (x) y = LeakyRelu (a) }")
    assert report.places == 2
    assert [round(n.attribute[0].f, 4) for n in proto.graph.node] == [0.25, 0.01]
    # An attribute that the pattern does not name has its default.
    assert run(Relus(), IO + "{ a = Relu (x) y = Relu (a) }")[1].places == 1


@pytest.mark.parametrize("clip", ["x", "x, low", "x, low, high", 'x, "", high'])
def test_optional_inputs(clip: str) -> None:
    text = IO + f"<float low = {{0}}, float high = {{6}}> {{ c = Clip({clip}) y = Abs(c) }}".replace('""', "")
    proto, report = run(Bounded(), text)
    assert (ops(proto), report.places) == (["Exp"], 1)
    assert not proto.graph.initializer or len(clip) < 12


def test_an_input_that_is_not_optional() -> None:
    class Needs(Pass):
        def pattern(self, op, x, low, high=None):
            return op.Abs(op.Clip(x, low, high))

        def rewrite(self, op, match):
            return op.Exp(match["x"])

    _, report = run(Needs(), IO + "<float high = {6}> { c = Clip(x, , high) y = Abs(c) }")
    assert report.places == 0


TWO = "(float[n, 4] x) => (float[n, 4] y, float[n, 4] z) "


def test_several_outputs() -> None:
    proto, report = run(Twins(), TWO + "{ y = Neg(x) z = Abs(x) }")
    assert (sorted(ops(proto)), report.places) == (["Mul", "Relu"], 1)


def test_several_outputs_with_readers_between() -> None:
    text = TWO + "{ a = Neg(x) b = Exp(a) c = Tanh(b) d = Abs(x) y = Add(c, d) z = Sin(a) }"
    proto, report = run(Twins(), text)
    assert report.places == 1
    assert sorted(ops(proto)) == ["Add", "Exp", "Mul", "Relu", "Sin", "Tanh"]


def test_several_outputs_one_of_which_needs_the_other() -> None:
    class Far(Pass):
        def pattern(self, op, x, z):
            return op.Neg(x), op.Add(x, z)

        def rewrite(self, op, match):
            return op.Abs(match["x"]), op.Sub(match["x"], match["z"])

    _, report = run(Far(), TWO + "{ a = Neg(x) b = Exp(a) y = Add(x, b) z = Identity(a) }")
    assert report.places == 0
    assert "lies between" in report.skipped[0].why


def test_readers_in_a_sub_graph_stand_between() -> None:
    text = """(float[4] x, bool c) => (float[4] y, float[4] z) {
        a = Neg(x)
        b = If (c) <
            then_branch = t () => (float[4] p) { p = Exp(a) }, else_branch = e () => (float[4] q) { q = Sin(a) }
        >
        d = Abs(x)
        y = Add(b, d)
        z = Identity(a)
    }"""
    _, report = run(Twins(), text)
    assert report.places == 1


@pytest.mark.parametrize("count", [200])
def test_many_interleaved_places_of_two_outputs(count: int) -> None:
    parts = [f"a{i} = Neg(x{i}) b{i} = Exp(a{i})" for i in range(count)]
    parts += [f"c{i} = Abs(x{i}) d{i} = Add(b{i}, c{i})" for i in range(count)]
    ins = ", ".join(f"float[2] x{i}" for i in range(count))
    outs = ", ".join(f"float[2] d{i}" for i in range(count))
    _, report = run(Twins(), f"({ins}) => ({outs}) {{ {' '.join(parts)} }}")
    assert report.places == count


def test_a_reader_outside_keeps_the_place_as_it_is() -> None:
    text = TWO + "{ s = Sigmoid(x) y = Mul(x, s) [tap] z = Neg(s) }"
    _, report = run(Silu(), text)
    assert report.places == 0
    assert "'s' inside the pattern is also read by 'tap'" in report.skipped[0].why


def test_an_output_of_the_graph_inside_keeps_the_place_as_it_is() -> None:
    _, report = run(Silu(), TWO + "{ z = Sigmoid(x) y = Mul(x, z) }")
    assert report.places == 0
    assert "is an output of the graph" in report.skipped[0].why


def test_a_reader_in_a_sub_graph_is_one_outside() -> None:
    text = """(float[4] x, bool c) => (float[4] y, float[4] z) {
        s = Sigmoid(x)
        y = Mul(x, s)
        z = If (c) <
            then_branch = t () => (float[4] p) { p = Exp(s) }, else_branch = e () => (float[4] q) { q = Sin(x) }
        >
    }"""
    assert run(Silu(), text)[1].places == 0


def test_a_parameter_is_one_tensor() -> None:
    _, report = run(Silu(), "(float[4] x, float[4] w) => (float[4] y) { s = Sigmoid(w) y = Mul(x, s) }")
    assert report.places == 0
    assert "another tensor" in report.skipped[0].why
    square = run(Squares(), IO + "{ y = Mul(x, x) }")
    assert square[1].places == 1


class Squares(Pass):
    def pattern(self, op, x, z):
        return op.Mul(x, z)

    def rewrite(self, op, match):
        return op.Abs(match["x"])


def test_places_that_overlap() -> None:
    # The middle Relu can be in one place only; what is left joins what came.
    for count in (2, 3, 4, 5, 9):
        names = ["x", *(f"a{i}" for i in range(count - 1)), "y"]
        text = IO + "{ " + " ".join(f"{b} = Relu({a})" for a, b in pairwise(names)) + " }"
        proto, report = run(Relus(), text)
        assert ops(proto) == ["Relu"]
        assert report.places == count - 1
        assert run_pass(from_proto(proto), Relus())[1].places == 0


def test_a_rewrite_that_gives_its_own_pattern_ends() -> None:
    class Turn(Pass):
        def pattern(self, op, x, z):
            return op.Add(op.Neg(x), z)

        def rewrite(self, op, match):
            return op.Add(op.Neg(match["x"]), match["z"])

    _, report = run(Turn(), "(float[4] x, float[4] w) => (float[4] y) { s = Neg(x) y = Add(s, w) }")
    assert report.places == 1


def test_in_sub_graphs_and_functions() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[4] x, bool c, int64 m) => (float[4] y, float[4] z, float[4] w) {
        y = If (c) <
            then_branch = t () => (float[4] p) { s = Sigmoid(x) p = Mul(x, s) },
            else_branch = e () => (float[4] q) { s = Sigmoid(x) q = Mul(s, x) }
        >
        z = Loop (m, c, x) <body = b (int64 i, bool d, float[4] v) => (bool k, float[4] o) {
            k = Identity(d) h = Sigmoid(v) o = Mul(v, h)
        }>
        w = local.silu (x)
    }
    <domain: "local", opset_import: ["" : 17]>
    silu (a) => (b) { h = Sigmoid(a) b = Mul(a, h) }
    """
    proto, report = run(Silu(), text)
    assert report.places == 4
    assert "Sigmoid" not in str(proto)


def test_not_across_the_edge_of_a_graph() -> None:
    text = """(float[4] x, bool c) => (float[4] y) {
        s = Sigmoid(x)
        y = If (c) <
            then_branch = t () => (float[4] p) { p = Mul(x, s) }, else_branch = e () => (float[4] q) { q = Exp(x) }
        >
    }"""
    assert run(Silu(), text)[1].places == 0


def test_an_attribute_that_the_caller_of_a_function_gives() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[2, 4] x) => (float[2, 4] y) { y = local.soft <axis = -1> (x) }
    <domain: "local", opset_import: ["" : 17]>
    soft <axis> (a) => (b) { h = Abs(a) b = Softmax <axis: int = @axis> (h) }
    """

    class Soft(Pass):
        def pattern(self, op, x):
            return op.Softmax(op.Abs(x), axis=-1)

        def rewrite(self, op, match):
            return op.Softmax(match["x"])

    _, report = run(Soft(), text)
    assert report.places == 0
    assert "parameter of the function" in report.skipped[0].why


def test_other_attributes_and_operators_are_near_misses() -> None:
    class Deep(Pass):
        def pattern(self, op, x):
            return op.Exp(op.Softmax(op.Abs(x)))

        def rewrite(self, op, match):
            return op.Abs(match["x"])

    _, report = run(Deep(), IO + "{ a = Abs(x) b = Softmax<axis = 0>(a) y = Exp(b) }")
    assert ["axis is 0, where the pattern has -1" in s.why for s in report.skipped] == [True]
    _, report = run(Deep(), IO + "{ a = Sin(x) [soft] b = Softmax(a) y = Exp(b) }")
    assert report.places == 0


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda op, x: x, "returns what its operators gave"),
        (lambda op, x: (op.Relu(x), op.Abs(op.Neg(x)))[1], "leads to none of its outputs"),
        (lambda op, x, z: (op.Relu(x), op.Neg(z)), "share no tensor"),
        (lambda op, x: (lambda y: (y, y))(op.Relu(x)), "one tensor twice"),
    ],
)
def test_patterns_that_can_not_match(write: Callable[..., Any], why: str) -> None:
    class Holder:
        def pattern(self, op, x, z=None):
            return write(op, x) if write.__code__.co_argcount == 2 else write(op, x, z)

    with pytest.raises(TypeError, match=why):
        Pattern(Holder().pattern)

    class Bad(Pass):
        def pattern(self, op, x, z):
            return write(op, x) if write.__code__.co_argcount == 2 else write(op, x, z)

        def rewrite(self, op, match):
            return op.Abs(match["x"])

    with pytest.raises(SurgeryError, match=why):
        run(Bad(), IO + "{ y = Relu(x) }")


def chain(nodes: int, hits: int) -> onnx.ModelProto:
    every = nodes // hits if hits else nodes + 1
    made: list[onnx.NodeProto] = []
    last = "x"
    while len(made) < nodes:
        i = len(made)
        if hits and i % every == 0:
            made.append(helper.make_node("Sigmoid", [last], [f"s{i}"]))
            made.append(helper.make_node("Mul", [last, f"s{i}"], [f"v{i}"]))
        else:
            made.append(helper.make_node(("Mul", "Add", "Neg")[i % 3], [last] * (1 if i % 3 == 2 else 2), [f"v{i}"]))
        last = f"v{i}"
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", last)]
    graph = helper.make_graph(made, "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_pass_without_a_place_costs_next_to_nothing() -> None:
    model = from_proto(chain(100_000, 0))
    started = time.process_time()
    _, report = run_pass(model, Silu())
    assert time.process_time() - started < 0.5
    assert report.places == 0


def test_the_cost_is_linear_in_the_places() -> None:
    seconds = {}
    for hits in (1000, 10_000):
        model = from_proto(chain(40_000, hits))
        started = time.process_time()
        _, report = run_pass(model, Silu())
        seconds[hits] = time.process_time() - started
        assert report.places == hits
    assert seconds[10_000] < 20 * seconds[1000] + 1


UNARY = ("Relu", "Neg", "Abs", "Tanh")
BINARY = ("Add", "Mul", "Sub")


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """A small graph, each node of which reads what was there before."""
    names, nodes = ["x", "w"], []
    for i in range(draw(st.integers(2, 9))):
        binary = draw(st.booleans())
        op_type = draw(st.sampled_from(BINARY if binary else UNARY))
        inputs = [draw(st.sampled_from(names)) for _ in range(1 + binary)]
        nodes.append(helper.make_node(op_type, inputs, [f"v{i}"]))
        names.append(f"v{i}")
    read = {name for node in nodes for name in node.input}
    ends = [name for name in names[2:] if name not in read]
    info = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in names}
    graph = helper.make_graph(nodes, "g", [info["x"], info["w"]], [info[n] for n in ends])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_pattern_cut_out_of_a_graph_is_found(data: st.DataObject) -> None:
    model = data.draw(graphs())
    makers = {n.output[0]: n for n in model.graph.node}
    end = data.draw(st.sampled_from(sorted(makers)))
    # Cut: from `end` back, as far as each node is read inside only, and drawn to be taken.
    readers = Counter(name for n in model.graph.node for name in n.input)
    ends = {v.name for v in model.graph.output}
    taken: list[str] = []

    def take(name: str) -> None:
        taken.append(name)
        for source in dict.fromkeys(makers[name].input):
            alone = readers[source] == list(makers[name].input).count(source)
            if source in makers and source not in ends and alone and data.draw(st.booleans()):
                take(source)

    take(end)
    borders = sorted({i for name in taken for i in makers[name].input if i not in taken})

    class Cut(Pass):
        def pattern(self, op, p0, p1=None, p2=None, p3=None, p4=None, p5=None, p6=None, p7=None, p8=None, p9=None):
            given = dict(zip(borders, (p0, p1, p2, p3, p4, p5, p6, p7, p8, p9), strict=False))

            def build(name: str) -> Any:
                if name not in given:
                    # Written with the operands swapped where that is the same.
                    node = makers[name]
                    inputs = [build(i) for i in node.input]
                    swap = node.op_type in ("Add", "Mul") and data.draw(st.booleans())
                    given[name] = getattr(op, node.op_type)(*(inputs[::-1] if swap else inputs))
                return given[name]

            return build(end)

        def rewrite(self, op, match):
            return op.Identity(match.inputs[0])

    edited, report = run_pass(from_proto(model), Cut())
    assert report.places >= 1, (taken, [s.why for s in report.skipped])
    onnx.checker.check_model(ir.to_proto(edited), full_check=True)


class Gate(Pass):
    contract = Close()

    def pattern(self, op, x):
        return op.Mul(x, op.Clip(op.Add(op.LeakyRelu(x, alpha=0.5), 3), 0, 6))

    def rewrite(self, op, match):
        return op.Abs(match["x"])


@pytest.mark.parametrize(
    ("alpha", "three", "six", "why"),
    [
        (0.4, 3, 6, "alpha is 0.4"),
        (0.5, 2, 6, "input 1 is not the constant 3"),
        (0.5, 3, 5, "input 2 is not the constant 6"),
    ],
)
@pytest.mark.parametrize("extra", [0, 3])
def test_a_miss_of_the_rarest_operator_itself_is_a_near_miss(
    alpha: float, three: int, six: int, why: str, extra: int
) -> None:
    """Whichever operator the search begins with."""
    more = "".join(f"e{i} = {op} (x) " for i in range(extra) for op in ("LeakyRelu<alpha=0.5>",)).replace("e", "lr")
    text = f"""(float[n, 4] x) => (float[n, 4] y) <float k = {{{three}}}, float z = {{0}}, float s = {{{six}}}> {{
        {more} a = LeakyRelu<alpha={alpha}> (x) b = Add (a, k) c = Clip (b, z, s) y = Mul (x, c)
    }}"""
    _, report = run_pass(from_proto(parse(text)), Gate())
    assert report.places == 0
    assert any(why in skip.why for skip in report.skipped), report.skipped


def test_an_operator_that_is_there_by_chance_is_no_near_miss() -> None:
    """Its neighbours are others, and no constant or attribute of it is like the pattern's."""
    text = "(float[n, 4] x) => (float[n, 4] y) { a = Add (x, x) b = Tanh (a) y = Mul (b, x) }"
    _, report = run_pass(from_proto(parse(text)), Scale())
    assert (report.places, report.skipped) == (0, [])
