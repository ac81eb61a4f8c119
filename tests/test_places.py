"""What a rewrite may say besides new values: another place, none at all, and what concerns the whole model."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from surgery import Close, Pass
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.testing import parse

TEXT = """g (float[2, 3] x) => (float[2, 3] y, float[2, 3] z) {
    a = Relu (x)
    b = Neg (a)
    y = Neg (b)
    c = Abs (x)
    z = Exp (c)
}"""


class TwiceNegated(Pass):
    """Neg, Neg is nothing: said from where the first begins."""

    operator = ("Relu", "Abs")
    contract = Close()

    def rewrite(self, op, node):
        readers = node.outputs[0].readers
        if [r.op_type for r in readers] != ["Neg"] or readers[0].outputs[0].is_output:
            return op.skip()
        (last,) = readers[0].outputs[0].readers
        assert last.inputs[0].producer.outputs == last.inputs
        return {last.outputs[0]: op.Relu(node.inputs[0])}

    def after(self, model):
        model.metadata_props["seen"] = "yes"


def test_a_tensor_further_on_is_replaced() -> None:
    model, report = run_pass(from_proto(parse(TEXT)), TwiceNegated())
    after = ir.to_proto(model)
    assert [n.op_type for n in after.graph.node] == ["Relu", "Abs", "Exp"]
    assert [o.name for o in after.graph.output] == ["y", "z"]
    assert after.graph.node[0].output == ["y"]
    onnx.checker.check_model(after, full_check=True)
    assert report.places == 1 and report.at == ["a"]
    assert not report.skipped, "Abs was no place, so nothing is said of it"
    assert model.metadata_props["seen"] == "yes"


def test_nothing_is_done_after_no_place() -> None:
    model, report = run_pass(from_proto(parse(TEXT.replace("b = Neg", "b = Exp"))), TwiceNegated())
    assert not report.places and "seen" not in model.metadata_props


class Doubled(Pass):
    """Notes what the shape of a Reshape always is."""

    operator = "Reshape"
    contract = Close()

    def rewrite(self, op, node):
        return op.skip(str(node.constant(1)))


def test_a_chain_of_constants_is_constant() -> None:
    text = """g (float[6] x, int64[1] n) => (float[A, B] y, float[C, D] z) <int64[2] k = {2, 3}, int64[1] one = {1}> {
        i = Identity (k)
        p, q = Split <axis = 0, num_outputs = 2> (i)
        r = Concat <axis = 0> (q, p)
        y = Reshape (x, r)
        s = Concat <axis = 0> (one, n)
        z = Reshape (x, s)
    }"""
    _, report = run_pass(from_proto(parse(text, opset=18)), Doubled())
    assert [skip.why for skip in report.skipped] == [str(np.array([3, 2])), "None"]


def test_a_described_output_may_be_replaced() -> None:
    """Its value_info, which onnx-ir does not write, is about the tensor that went."""
    proto = parse(TEXT)
    proto.graph.value_info.append(proto.graph.output[0])
    model = from_proto(proto)
    run_pass(model, TwiceNegated())
    from surgery.model import skeleton

    assert [n.op_type for n in skeleton(model).graph.node] == ["Relu", "Abs", "Exp"]
