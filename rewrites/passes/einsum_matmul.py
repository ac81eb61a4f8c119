"""Spell Einsum by Transpose, Reshape, Mul, ReduceSum and MatMul.

    a, b ── Einsum(bhid,bhjd->bhij) ── y     =>     b ── Transpose ─┐
                                                     a ────────── MatMul ── y

Letters of one operand that the result lacks are summed first; a letter that stands twice in one operand is its
diagonal. Letters of both operands and of the result become batch, those of both alone are what MatMul sums over.
More than two operands are taken from the left.

Why: ncnn crashes on ``...`` and refuses inner products over images; MNN 3.6.1 is wrong about ``ii->i``; ATC and
older TensorRT lack Einsum.
Numbers: the same products, summed by MatMul in its own order.
Refuses: nothing. A place is left where a rank is unknown, or a length that a Reshape needs.
"""

import math
import string

import numpy as np

from surgery import Close, Pass


class EinsumMatmul(Pass):
    operator = "Einsum"
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"Inputs": (-1e18, 1e18)}

    def rewrite(self, op, node):
        operands = node.inputs
        if any(v is None or v.shape is None or not all(isinstance(d, (int, str)) for d in v.shape) for v in operands):
            return op.skip("the lengths of an operand are unknown")
        terms, result = letters(node.attr("equation"), [len(v.shape) for v in operands])
        lengths: dict[str, int | str] = {}
        for term, value in zip(terms, operands, strict=True):
            for letter, dim in zip(term, value.shape, strict=True):
                if lengths.get(letter, 1) == 1:
                    lengths[letter] = dim
        term, y = single(op, terms[0], operands[0])
        for i in range(1, len(operands)):
            later = set(result).union(*terms[i + 1 :])
            joined = join(op, (term, y), single(op, terms[i], operands[i]), later, lengths)
            if isinstance(joined, str):
                return op.skip(joined)
            term, y = joined
        lost = [i for i, letter in enumerate(term) if letter not in result]
        if lost:
            y = op.ReduceSum(y, lost, keepdims=0)
            term = "".join(letter for letter in term if letter in result)
        return arranged(op, y, term, result)


def letters(equation, ranks):
    """The letters of every operand and of the result; those that ``...`` stands for are written out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [c for c in string.ascii_letters if c not in equation]
    wide = max((rank - len(t) + 3 for t, rank in zip(terms, ranks, strict=True) if "..." in t), default=0)
    dots = "".join(free[:wide])
    spelt = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term) + 3
        spelt.append(term.replace("...", dots[wide - own :] if own else ""))
    if not arrow:
        every = "".join(spelt)
        once = sorted(c for c in set(every) if every.count(c) == 1 and c not in dots)
        return spelt, dots + "".join(once)
    return spelt, right.replace("...", dots)


def single(op, term, value):
    """The operand with diagonals taken: a letter stands once."""
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            i, j = term.index(letter), term.rindex(letter)
            size = value.shape[i]
            eye = np.eye(size).astype(value.dtype)
            shape = [size if k in (i, j) else 1 for k in range(len(term))]
            value = op.ReduceSum(op.Mul(value, eye.reshape(shape)), [j], keepdims=0)
            term = term[:j] + term[j + 1 :]
    return term, value


def join(op, one, other, later, lengths):
    """The product of two operands, summed over what nobody reads later."""
    (a, x), (b, y) = one, other
    for own, theirs in ((a, b), (b, a)):
        gone = [i for i, letter in enumerate(own) if letter not in theirs and letter not in later]
        if gone:
            summed = op.ReduceSum(x if own is a else y, gone, keepdims=0)
            kept = "".join(c for i, c in enumerate(own) if i not in gone)
            if own is a:
                a, x = kept, summed
            else:
                b, y = kept, summed
            break
    gone = [i for i, letter in enumerate(b) if letter not in a and letter not in later]
    if gone:
        y, b = op.ReduceSum(y, gone, keepdims=0), "".join(c for i, c in enumerate(b) if i not in gone)
    batch = "".join(c for c in a if c in b and c in later)
    inner = "".join(c for c in a if c in b and c not in later)
    rows = "".join(c for c in a if c not in b)
    columns = "".join(c for c in b if c not in a)
    if not inner:
        every = batch + rows + columns
        return every, op.Mul(spread(op, x, a, every), spread(op, y, b, every))
    left = packed(op, x, a, batch, rows, inner, lengths)
    right = packed(op, y, b, batch, inner, columns, lengths)
    if left is None or right is None:
        return "a length that a Reshape needs is unknown"
    y = op.MatMul(left, right)
    shape = [lengths[c] for c in batch + rows + columns]
    if len(rows) != 1 or len(columns) != 1:
        if sum(not isinstance(d, int) for d in shape) > 1:
            return "a length that a Reshape needs is unknown"
        y = op.Reshape(y, [d if isinstance(d, int) else -1 for d in shape])
    return batch + rows + columns, y


def packed(op, value, term, batch, first, second, lengths):
    """`value` as [*batch, first, second] for MatMul, groups of letters made one axis."""
    value = arranged(op, value, term, batch + first + second)
    if len(first) == len(second) == 1:
        return value
    dims = [lengths[c] for c in batch]
    for group in (first, second):
        sizes = [lengths[c] for c in group]
        if len(group) != 1 and not all(isinstance(size, int) for size in sizes):
            return None
        dims.append(sizes[0] if len(group) == 1 else math.prod(sizes))
    if sum(not isinstance(d, int) for d in dims) > 1:
        return None
    return op.Reshape(value, [d if isinstance(d, int) else -1 for d in dims])


def spread(op, value, term, every):
    """`value` with an axis of length 1 for every letter that it lacks."""
    value = arranged(op, value, term, "".join(c for c in every if c in term))
    missing = [i for i, c in enumerate(every) if c not in term]
    return op.Unsqueeze(value, missing) if missing else value


def arranged(op, value, term, wanted):
    """`value` with its letters in the order `wanted`."""
    return value if term == wanted else op.Transpose(value, perm=[term.index(c) for c in wanted])
