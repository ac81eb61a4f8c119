"""Spell the seldom forms of pooling by the plain one.

    x ── MaxPool(odd pads) ── y        =>    x ── Pad(lowest) ── MaxPool ── y
    x ── MaxPool(dilations) ── y       =>    x ── Slice, Slice, ... ── Max ── y
    x ── AveragePool(odd pads) ── y    =>    x ── Pad(0) ── AveragePool ── Mul(constant) ── y
    x ── LpPool ── y                   =>    x ── Abs ── Pow(p) ── AveragePool ── Mul(k) ── Pow(1/p) ── y

Odd pads are those that differ at the two ends, SAME_LOWER and SAME_UPPER, ``ceil_mode`` with a window over the
edge, and padding that AveragePool counts. The constant gives every window its own number of elements. Where lengths
are free, an AveragePool that rounds up and counts padding, and has none, is told not to count it.

Why: MNN 3.6.1 dies of dilations and of padding that counts, and reads SAME_LOWER wrongly; ncnn refuses or is
wrong about each of these; OpenVINO 2026.4.1 is about windows over the edge.
Numbers: a maximum of the same elements; an average by the same sums, times a quotient of whole numbers. What is
padded to MaxPool is the lowest finite number, so the promise is for finite images.
Refuses: nothing. A place is left whose Indices are read, or, where lengths are needed, whose lengths are free.
"""

import itertools
import math

import numpy as np

from surgery import Close, Pass

END = np.iinfo(np.int64).max


class PoolLower(Pass):
    operator = ("MaxPool", "AveragePool", "LpPool")
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"X": (-1e18, 1e18)}

    def rewrite(self, op, node):
        x = node.inputs[0]
        if len(node.outputs) > 1 and node.ir.outputs[1].name and is_read(node.ir.outputs[1]):
            return op.skip("its Indices are read")
        if x.shape is None or x.dtype is None or x.dtype.kind != "f":
            return op.skip(f"{x.name!r} is no image of floats of known rank")
        kernel = node.attr("kernel_shape")
        form = Form.of(node, kernel)
        if form is None:
            return op.skip("its form is plain")
        sizes = x.shape[2:]
        counted = form.auto or form.ceil or (node.op_type == "AveragePool" and any(form.pads) and not form.counts)
        if counted and not all(isinstance(size, int) for size in sizes):
            if form.counts and not form.auto and not any(form.pads) and all(d == 1 for d in form.dilations):
                return op.AveragePool(x, kernel_shape=kernel, strides=form.strides, ceil_mode=1)
            return op.skip("lengths are free, and its padding depends on them")
        begin, end, over = form.edges(sizes)
        if node.op_type == "LpPool":
            return lp_pool(op, x, node, form, begin, end)
        lowest = node.op_type == "MaxPool"
        ground = op.constant(np.array(np.finfo(x.dtype).min if lowest else 0, x.dtype))
        padded = grown(op, x, begin, end + over, ground)
        if any(d > 1 for d in form.dilations):
            parts = windows(op, padded, form)
            y = op.Max(*parts) if lowest else op.Mul(op.Sum(*parts), 1 / len(parts))
        else:
            y = getattr(op, node.op_type)(padded, kernel_shape=kernel, strides=form.strides)
        if lowest:
            return y
        shares = form.shares(sizes, begin, end, over)
        return y if shares is None else op.Mul(y, shares.astype(x.dtype))


class Form:
    """What a pooling node asks for beyond its kernel."""

    def __init__(self, node, kernel):
        ones = [1] * len(kernel)
        self.kernel = np.array(kernel)
        self.strides = node.attr("strides") or ones
        self.dilations = node.attr("dilations") or ones
        self.pads = np.array(node.attr("pads") or [0] * (2 * len(kernel)))
        self.auto = node.attr("auto_pad", "NOTSET").removeprefix("NOTSET").removeprefix("VALID")
        self.ceil = bool(node.attr("ceil_mode", 0))
        self.counts = bool(node.attr("count_include_pad", 0))
        self.reach = (self.kernel - 1) * self.dilations + 1

    @classmethod
    def of(cls, node, kernel):
        """The form, or None where it is plain."""
        form = cls(node, kernel)
        first, last = np.split(form.pads, 2)
        odd = form.auto or any(d > 1 for d in form.dilations) or (first != last).any() or node.op_type == "LpPool"
        if form.ceil or (form.counts and form.pads.any()):
            odd = True
        return form if odd else None

    def edges(self, sizes):
        """What is padded at the beginnings, at the ends, and what windows reach over beyond that."""
        begin, end = np.split(self.pads, 2)
        over = np.zeros(len(self.kernel), np.int64)
        if self.auto:
            after = -(-np.array(sizes) // self.strides)
            total = np.maximum((after - 1) * self.strides + self.reach - sizes, 0)
            less, more = total // 2, total - total // 2
            return (less, more, over) if self.auto == "SAME_UPPER" else (more, less, over)
        if self.ceil:
            free = np.array(sizes) + begin + end - self.reach
            after = -(-free // self.strides) + 1
            # A window that would begin in the padding behind is left out.
            after -= (after - 1) * self.strides >= np.array(sizes) + begin
            over = np.maximum((after - 1) * self.strides + self.reach - (np.array(sizes) + begin + end), 0)
        return begin, end, over

    def shares(self, sizes, begin, end, over):
        """By what an average over whole windows is multiplied; None where that is 1 everywhere."""
        if self.counts and not over.any():
            return None
        if not (begin.any() or end.any() or over.any()):
            return None
        rows = []
        for i, size in enumerate(sizes):
            inside = np.zeros(size + begin[i] + end[i] + over[i])
            inside[0 if self.counts else begin[i] : size + begin[i] + (end[i] if self.counts else 0)] = 1
            count = (len(inside) - self.reach[i]) // self.strides[i] + 1
            starts = np.arange(count) * self.strides[i]
            taps = starts[:, None] + np.arange(self.kernel[i]) * self.dilations[i]
            rows.append(self.kernel[i] / inside[taps].sum(1))
        whole = rows[0]
        for row in rows[1:]:
            whole = np.multiply.outer(whole, row)
        return whole[None, None]


def is_read(value):
    """Whether anything reads the value."""
    return bool(value.uses()) or value.is_graph_output()


def grown(op, x, begin, end, ground):
    """`x` with `ground` around it."""
    if not (begin.any() or end.any()):
        return x
    return op.Pad(x, np.concatenate([[0, 0], begin, [0, 0], end]), ground, mode="constant")


def windows(op, x, form):
    """For every tap of the kernel, what it sees."""
    axes = np.arange(2, 2 + len(form.kernel))
    parts = []
    for taps in itertools.product(*map(range, form.kernel)):
        starts = np.array(taps) * form.dilations
        ends = starts - form.reach + 1
        parts.append(op.Slice(x, starts, np.where(ends == 0, END, ends), axes, np.array(form.strides)))
    return parts


def lp_pool(op, x, node, form, begin, end):
    """A root of the sum of powers: the average times the number of elements."""
    p = float(node.attr("p"))
    if any(d > 1 for d in form.dilations) or form.ceil:
        return op.skip("LpPool with dilations or ceil_mode")
    powers = op.Pow(op.Abs(x), p)
    padded = grown(op, powers, begin, end, op.constant(np.zeros((), x.dtype)))
    mean = op.AveragePool(padded, kernel_shape=form.kernel.tolist(), strides=form.strides)
    return op.Pow(op.Mul(mean, float(math.prod(form.kernel))), 1 / p)
