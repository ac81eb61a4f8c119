"""Put operators between an input and an output, or two outputs, of the model that are the same.

    input ── Identity ── output     =>     input ── Neg ── Neg ── output

Why: pnnx dies of a model whose output is its input, or two outputs of which are one value; it takes a
product with 1 away, but not this.
Numbers: the sign is turned twice (IEEE 754, negate).
Refuses: nothing. An Identity elsewhere is left, and one whose elements are no numbers.
"""

from surgery import Exact, Pass


class IdentityNeg(Pass):
    operator = "Identity"
    contract = Exact()

    def rewrite(self, op, node):
        x = node.inputs[0]
        origin = x.ir
        while (maker := origin.producer()) is not None and maker.op_type == "Identity" and not maker.domain:
            origin = maker.inputs[0]
        if not node.ir.outputs[0].is_graph_output() or not (origin.is_graph_input() or twin(node, origin)):
            return op.skip("it does not join an input or an output to an output")
        if x.dtype is None or x.dtype.kind not in "fi":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        return op.Neg(op.Neg(x))


def twin(node, origin):
    """Whether another output of the model is the same value."""
    others = [use.node for use in origin.uses() if use.node is not node.ir and use.node.op_type == "Identity"]
    return origin.is_graph_output() or any(other.outputs[0].is_graph_output() for other in others)
