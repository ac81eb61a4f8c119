"""Take Max, Min, Sum and Mean of several tensors two at a time.

    a, b, c ── Max ── y     =>     a, b ── Max ──┐
                                            c ── Max ── y

Why: MNN 3.6.1 reads beyond the memory of operands that it has to broadcast, ncnn broadcasts none of more than two,
and neither says so; ncnn lacks Mean; several compilers take two only.
Numbers: a maximum is the same in any order; sums are taken from the left, as before.
Refuses: nothing. A place with two operands is left, but for Mean.
"""

from surgery import Close, Pass

PAIRED = {"Max": "Max", "Min": "Min", "Sum": "Add", "Mean": "Add"}


class MaxPairwise(Pass):
    operator = tuple(PAIRED)
    contract = Close(rtol=1e-6, atol=1e-7)

    def rewrite(self, op, node):
        first, *rest = node.inputs
        if not rest:
            return op.Identity(first)
        if (len(rest) < 2 and node.op_type != "Mean") or any(value is None for value in node.inputs):
            return op.skip("it has two operands")
        if op.opset < 8:
            return op.skip("below opset 8 nothing is broadcast")
        for value in rest:
            first = getattr(op, PAIRED[node.op_type])(first, value)
        return op.Mul(first, 1 / len(node.inputs)) if node.op_type == "Mean" else first
