"""Clip by bounds that are computed with Max and Min.

    x, low, high ── Clip ── y     =>     x, low ── Max ──┐
                                                   high ── Min ── y

Why: ncnn takes constant bounds only.
Numbers: the same comparisons (ONNX operator specification, Clip-13); of a bound that is NaN nothing is promised.
Refuses: nothing. A place with constant bounds is left.
"""

from surgery import Exact, Pass


class ClipMinmax(Pass):
    operator = "Clip"
    contract = Exact()
    domain = {"input": (-1e30, 1e30), "min": (-1e30, 1e30), "max": (-1e30, 1e30)}

    def rewrite(self, op, node):
        x, low, high = [*node.inputs, None, None][:3]
        if all(bound is None or bound.constant is not None for bound in (low, high)):
            return op.skip("its bounds are constant")
        if op.opset < 12 and (x.dtype is None or x.dtype.kind != "f"):
            return op.skip("below opset 12 Max and Min are of floats")
        x = x if low is None else op.Max(x, low)
        return x if high is None else op.Min(x, high)
