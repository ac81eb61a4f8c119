"""Put an operator between an input and an output of the model that are the same.

    input ── Identity ── output     =>     input ── Mul(1) ── output

Why: pnnx dies of a model whose output is its input, and others drop the output.
Numbers: a number times 1 is that number (IEEE 754).
Refuses: nothing. An Identity elsewhere is left, and one whose elements are no numbers.
"""

from surgery import Exact, Pass


class IdentityMul(Pass):
    operator = "Identity"
    contract = Exact()

    def rewrite(self, op, node):
        x = node.inputs[0]
        origin = x.ir
        while (maker := origin.producer()) is not None and maker.op_type == "Identity" and not maker.domain:
            origin = maker.inputs[0]
        if not (origin.is_graph_input() and node.ir.outputs[0].is_graph_output()):
            return op.skip("it does not join an input to an output")
        if x.dtype is None or x.dtype.kind not in "fiu":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        return op.Mul(x, 1)
