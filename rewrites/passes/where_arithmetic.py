"""Spell Where for compilers that lack it, or that do not broadcast it.

    c, a, b ── Where ── y    =>    Expand(c), Expand(a), Expand(b) ── Where ── y      (form=expand)
    c, a, b ── Where ── y    =>    s * a + (1 - s) * b, where s = Cast(c)             (form=arithmetic)

With ``form=arithmetic`` a condition that compares floats is spelt without booleans:

    p, q ── Greater ── Where    =>    s = Sign(Relu(p - q))

Why: MNN 3.6.1 reads beyond its memory where an operand of Where is broadcast; ncnn has neither booleans nor
comparisons.
Numbers: with expand the same elements. With arithmetic one branch is multiplied by 1 and the other by 0, so the
promise is for finite values; p - q is zero only where p equals q (IEEE 754, gradual underflow).
Refuses: nothing. A place is left where types are unknown, or with arithmetic no floats.
"""

from typing import Literal

from surgery import Close, Pass

# p ? q is true where the sign of p - q is this; or, for the others, where it is not.
TRUE_WHERE = {"Greater": 1.0, "Less": -1.0}
FALSE_WHERE = {"LessOrEqual": 1.0, "GreaterOrEqual": -1.0}


class WhereArithmetic(Pass):
    operator = "Where"
    contract = Close(rtol=1e-6, atol=0.0)
    domain = {"X": (-1e30, 1e30), "Y": (-1e30, 1e30), "A": (-1e30, 1e30), "B": (-1e30, 1e30)}
    form: Literal["expand", "arithmetic"] = "expand"  # what becomes of it

    def rewrite(self, op, node):
        c, a, b = node.inputs
        if self.form == "arithmetic":
            if a.dtype is None or a.dtype.kind != "f":
                return op.skip(f"its branches are of type {a.dtype or 'unknown'}")
            share = share_of(op, c, a.dtype)
            return op.Add(op.Mul(share, a), op.Mul(op.Sub(1.0, share), b))
        if c.shape is not None and None not in c.shape and c.shape == a.shape == b.shape:
            return op.skip("nothing is broadcast")
        maker = [value.ir.producer() for value in (c, a, b)]
        if all(one is not None and one.op_type == "Expand" for one in maker):
            return op.skip("all three are expanded")
        wide = op.Expand(op.Expand(c, op.Shape(a)), op.Shape(b))
        whole = op.Shape(wide)
        return op.Where(wide, op.Expand(a, whole), op.Expand(b, whole))


def share_of(op, condition, dtype):
    """1 where the condition holds, else 0, as floats of `dtype`."""
    maker = condition.ir.producer()
    if maker is not None and not maker.domain and maker.op_type in TRUE_WHERE | FALSE_WHERE:
        p, q = maker.inputs
        if p.dtype is not None and p.dtype.is_floating_point():
            turned = (TRUE_WHERE | FALSE_WHERE)[maker.op_type] < 0
            above = op.Sign(op.Relu(op.Sub(q, p) if turned else op.Sub(p, q)))
            if maker.op_type in FALSE_WHERE:
                above = op.Sub(1.0, above)
            return above if above.dtype == dtype else op.Cast(above, to=dtype)
    return op.Cast(condition, to=dtype)
