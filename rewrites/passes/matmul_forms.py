"""Spell the seldom forms of products by the common one.

    a, b, c ── Gemm(alpha, beta, transA, transB) ── y    =>    Transpose, MatMul, Mul, Add
    a [n], b [n] ── MatMul ── y []                       =>    a, b ── Mul ── ReduceSum ── y
    a [.., m, n], b [n] (stored) ── MatMul ── y [.., m]  =>    a, b [n, 1] ── MatMul ── Squeeze ── y

A Gemm is taken whose beta is not 1, whose C is no row, or that transposes A before a stored B; with ``bare=true`` also
one without C, with ``every=true`` any.

Why: MNN 3.6.1 ignores transA, adds a column as a row, its runtime dies of a product of two vectors, and it refuses
one of more than two axes by a stored vector;
ncnn is wrong about a Gemm without C of what was an image of one pixel, a classifier's head; it takes a stored
row as C only.
Numbers: the same products; a constant C is multiplied by beta beforehand.
Refuses: nothing. A plain product is left, and a place where a rank is unknown.
"""

from surgery import Close, Pass


class MatmulForms(Pass):
    operator = ("Gemm", "MatMul")
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"A": (-1e15, 1e15), "B": (-1e15, 1e15)}
    bare: bool = False  # also a Gemm without C
    every: bool = False  # any Gemm

    def rewrite(self, op, node):
        a, b = node.inputs[:2]
        if a.shape is None or b.shape is None:
            return op.skip("a rank is unknown")
        if a.dtype is None or a.dtype.kind != "f":
            return op.skip(f"{a.name!r} is of type {a.dtype or 'unknown'}")
        if node.op_type == "MatMul":
            if b.constant is not None and len(b.shape) == 1 and len(a.shape) > 2:
                return op.Squeeze(op.MatMul(a, b.constant[:, None]), [-1])
            if len(a.shape) != 1 or len(b.shape) != 1:
                return op.skip("it is no product by a vector")
            return op.ReduceSum(op.Mul(a, b), [0], keepdims=0)
        c = node.inputs[2] if len(node.inputs) > 2 else None
        alpha, beta = node.attr("alpha"), node.attr("beta")
        if c is not None and c.shape is None:
            return op.skip("the rank of C is unknown")
        turned = node.attr("transA") and b.constant is not None
        plain = not self.bare if c is None else beta == 1 and not column(c, node)
        if not (turned or self.every) and plain:
            return op.skip("its form is plain")
        a = op.Transpose(a, perm=[1, 0]) if node.attr("transA") else a
        b = op.Transpose(b, perm=[1, 0]) if node.attr("transB") else b
        y = op.MatMul(a, b)
        y = y if alpha == 1 else op.Mul(y, float(alpha))
        return y if c is None else op.Add(y, c if beta == 1 else op.Mul(c, float(beta)))


def column(c, node):
    """Whether C has an element for every row, and one only."""
    width = None if node.shape is None else node.shape[-1]
    return len(c.shape) == 2 and c.shape[1] == 1 and width != 1
