"""Repeat a tensor by Concat.

    x ── Tile(2, 3) ── y     =>     x, x ── Concat(0) ── ×3 ── Concat(1) ── y

Why: ncnn lacks Tile; most compilers that have Concat take any number of operands.
Numbers: elements are moved; nothing is computed.
Refuses: nothing. A place is left whose repeats are not constant, zero, or above ``limit``.
"""

from surgery import Exact, Pass


class TileConcat(Pass):
    operator = "Tile"
    contract = Exact()
    limit: int = 64  # copies; more would be a long Concat

    def rewrite(self, op, node):
        x, repeats = node.inputs[0], node.constant(1)
        if repeats is None or op.opset < 6:
            return op.skip("its repeats are not constant")
        if (repeats < 1).any() or repeats.max(initial=1) > self.limit:
            return op.skip(f"it repeats {repeats.max(initial=0)} times")
        for axis, count in enumerate(repeats.tolist()):
            if count > 1:
                x = op.Concat(*[x] * count, axis=axis)
        return x if (repeats > 1).any() else op.Identity(x)
