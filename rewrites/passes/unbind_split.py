"""Take a tensor of five axes apart by Split, not by single indices.

    x [3,n,h,l,d] ── Gather(1) ── k             =>    x ── Split [1,1,1] ── (1) ── Squeeze ── k
    x [3,n,h,l,d] ── Slice [1:2] ── Squeeze     =>    x ── Split [1,1,1] ── (1) ── Squeeze

Why: so attention takes its queries, keys and values apart (``qkv.unbind(0)``); pnnx 20261020 makes of the reads of a
whole axis one operator that ncnn lacks, unless all around them is as in one known form. A Split is taken.
Numbers: elements are moved; nothing is computed.
Refuses: nothing. A place is left that reads another axis than the first, several indices or ones that are not constant,
or a length that is free.
"""

from surgery import Exact, Pass


class UnbindSplit(Pass):
    operator = ("Gather", "Slice")
    contract = Exact()

    def rewrite(self, op, node):
        x = node.inputs[0]
        if x.shape is None or len(x.shape) != 5 or not isinstance(x.shape[0], int) or x.constant is not None:
            return op.skip("its data is not of five axes, the first of known length")
        length = x.shape[0]
        index = first(node, length)
        if index is None:
            return op.skip("it does not read one index of the first axis")
        if length == 1:
            return op.skip("there is no other part")
        part = op.Split(x, [1] * length, axis=0)[index]
        return op.Squeeze(part, [0]) if node.op_type == "Gather" else part


def first(node, length):
    """The one index of the first axis that is read, or None."""
    if node.op_type == "Gather":
        index = node.constant(1)
        one = index is not None and index.ndim == 0 and node.attr("axis") in (0, -5)
        return int(index) % length if one else None
    parts = [node.attr(name) for name in ("starts", "ends", "axes", "steps")]
    if parts[0] is None:
        parts = [node.constant(i) if i < len(node.inputs) else None for i in (1, 2, 3, 4)]
        parts = [None if part is None else part.tolist() for part in parts]
    starts, ends, axes, steps = parts
    if starts is None or ends is None or axes not in ([0], [-5]) or steps not in (None, [1]):
        return None
    taken = range(*slice(starts[0], ends[0]).indices(length))
    return taken[0] if len(taken) == 1 else None
