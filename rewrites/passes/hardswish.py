"""Spell HardSwish out for compilers that lack the operator.

    x ── HardSwish ── y        =>      x ─┬─ HardSigmoid ─┐
                                          └────── Mul ────┴─ y

With ``form=clip`` it is spelt by Add, Clip, Div and Mul, as older exporters do:

    x ── HardSwish ── y        =>      x ─┬─ Add 3 ── Clip 0..6 ── Div 6 ─┐
                                          └───────────── Mul ─────────────┴─ y

Why: HardSwish came with opset 14 (ONNX operator specification, HardSwish-14); parsers
written for opset 13 and below do not know it.
Numbers: by the specification HardSwish(x) = x * max(0, min(1, x/6 + 0.5)), which is what
either form computes; the order of the roundings differs, so the last bits may.
Refuses: nothing. With ``form=clip`` a place where the element type is unknown is skipped.
"""

from typing import Literal

from surgery import Close, Pass


class HardSwish(Pass):
    """See the module."""

    operator = "HardSwish"
    contract = Close(rtol=1e-5, atol=1e-6)
    form: Literal["hardsigmoid", "clip"] = "hardsigmoid"  # which spelling

    def rewrite(self, op, node):
        (x,) = node.inputs
        if self.form == "hardsigmoid":
            return op.Mul(x, op.HardSigmoid(x, alpha=1 / 6, beta=0.5))
        return op.Mul(x, op.Div(op.Clip(op.Add(x, 3.0), 0.0, 6.0), 6.0))
