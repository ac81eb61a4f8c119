"""Spell Round, and Mod of floats, by Floor.

    x ── Round ── y          =>    x + 0.5 ── Floor, less 1 where x is half way and the result is odd ── y
    a, b ── Mod(fmod) ── y   =>    (|a| - Floor(|a| / |b|) * |b|) * Sign(a) ── y

Why: MNN 3.6.1 rounds halves away from zero, and gives the remainder of a negative number the other sign.
Numbers: Round goes to the even neighbour (ONNX operator specification, Round-11). Halves of floats below 2**22 are
exact, beyond there are none; the promise is for that range. A remainder is promised where the quotient is below 2**20,
up to the rounding of that quotient.
Refuses: nothing. A place is left that is not of floats, or a Mod that is not ``fmod``.
"""

from surgery import Close, Pass


class RoundingForms(Pass):
    operator = ("Round", "Mod")
    contract = Close(rtol=1e-4, atol=1e-5)
    domain = {"X": (-4e6, 4e6), "A": (-1e3, 1e3), "B": (0.5, 10)}
    only: list[str] = []  # operators to take; none named takes all

    def rewrite(self, op, node):
        if self.only and node.op_type not in self.only:
            return op.skip("it was not asked for")
        x = node.inputs[0]
        if x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        if node.op_type == "Mod":
            return remainder(op, node, x)
        up = op.Floor(op.Add(x, 0.5))
        half = op.Sub(1.0, op.Sign(op.Abs(op.Sub(op.Sub(up, x), 0.5))))  # 1 where x was half way
        odd = op.Sub(up, op.Mul(op.Floor(op.Mul(up, 0.5)), 2.0))
        return op.Sub(up, op.Mul(half, odd))


def remainder(op, node, a):
    """What is left of |a|, with the sign of a."""
    if not node.attr("fmod"):
        return op.skip("it is not fmod")
    size, step = op.Abs(a), op.Abs(node.inputs[1])
    left = op.Sub(size, op.Mul(op.Floor(op.Div(size, step)), step))
    return op.Mul(left, op.Sign(a))
