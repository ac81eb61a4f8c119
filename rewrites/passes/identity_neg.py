"""Put operators between an input and an output of the model that are the same.

    input ── Identity ── output     =>     input ── Neg ── Neg ── output

Why: pnnx dies of a model whose output is its input; it takes a product with 1 away, but not this.
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
        if not (origin.is_graph_input() and node.ir.outputs[0].is_graph_output()):
            return op.skip("it does not join an input to an output")
        if x.dtype is None or x.dtype.kind not in "fi":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        return op.Neg(op.Neg(x))
