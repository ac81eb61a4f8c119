"""Compare floats by the sign of their difference.

    p, q ── Greater ── y           =>    p, q ── Sub ── Greater(0) ── y
    p, q ── Less ── y              =>    q, p ── Sub ── Greater(0) ── y
    p, q ── LessOrEqual ── y       =>    q, p ── Sub ── GreaterOrEqual(0) ── y

Why: MNN 3.6.1 compares the bits of two floats as integers, in Less and wherever both operands are broadcast: of two
negative numbers the smaller one counts as the larger.
Numbers: p - q is above zero exactly where p is above q (IEEE 754, gradual underflow); of infinities nothing is
promised.
Refuses: nothing. A place is left that does not compare floats, or compares with stored numbers none of which is
negative, for there the order of the bits is that of the numbers.
"""

from surgery import Exact, Pass

FORMS = {  # what asks it of the difference, and whether the operands change places
    "Greater": ("Greater", False),
    "Less": ("Greater", True),
    "GreaterOrEqual": ("GreaterOrEqual", False),
    "LessOrEqual": ("GreaterOrEqual", True),
}


class ComparisonForms(Pass):
    operator = tuple(FORMS)
    contract = Exact()
    domain = {"A": (-1e30, 1e30), "B": (-1e30, 1e30)}

    def rewrite(self, op, node):
        p, q = node.inputs
        if p.dtype is None or p.dtype.kind != "f":
            return op.skip(f"{p.name!r} is of type {p.dtype or 'unknown'}")
        if any(value.constant is not None and not (value.constant < 0).any() for value in (p, q)):
            return op.skip("one side is stored and not negative")
        asks, turned = FORMS[node.op_type]
        return getattr(op, asks)(op.Sub(q, p) if turned else op.Sub(p, q), 0.0)
