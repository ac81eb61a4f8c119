"""Multiply in place of raising to a small whole power.

    x ── Pow(3) ── y     =>     x ─┬─ Mul ── Mul ── y
                                   └──┴───────┘

A negative power is the reciprocal of the positive one.

Why: MNN 3.6.1 refuses an exponent of integers, ncnn reads it as the bits of a float; some compilers take a Pow of
a negative base for NaN.
Numbers: repeated squaring rounds each product, Pow once.
Refuses: nothing. A place is left whose exponent is not one constant whole number up to ``limit``, or is 0.
"""

from surgery import Close, Pass


class PowMul(Pass):
    operator = "Pow"
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"X": (-1e4, 1e4)}
    limit: int = 8  # the largest exponent, of either sign

    def rewrite(self, op, node):
        x, exponent = node.inputs[0], node.constant(1)
        if exponent is None or exponent.size != 1 or exponent.ndim > (len(x.shape) if x.shape is not None else 0):
            return op.skip("its exponent is not one constant")
        power = float(exponent.reshape(-1)[0])
        if not power or power != int(power) or abs(power) > self.limit:
            return op.skip(f"its exponent is {power:g}")
        if x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} is of type {x.dtype or 'unknown'}")
        result, square, left = None, x, abs(int(power))
        while left:
            if left % 2:
                result = square if result is None else op.Mul(result, square)
            left //= 2
            square = op.Mul(square, square) if left else square
        if power < 0:
            return op.Reciprocal(result)
        return op.Identity(x) if power == 1 else result
