"""Tell numbers from zero by a comparison, or in floats.

    x ── Cast(bool) ── y                    =>    x, 0 ── Equal ── Not ── y                  (form=compare)
    x ── Cast(bool) ── Cast(float) ── y     =>    x ── Sign ── Abs ── y                      (form=arithmetic)

Why: MNN 3.6.1 cuts numbers to integers first, so that 0.5 is false, and leaves these as they are, so that Not of 2
is true; ncnn has no booleans.
Numbers: every number but zero is true (ONNX operator specification, Cast-13), NaN too, of which nothing is promised.
Refuses: nothing. A place is left that is not from numbers; with ``form=arithmetic`` one that is read by others than
Casts to floats.
"""

from typing import Literal

import numpy as np

from surgery import Exact, Pass

BOOL = 9


class CastBool(Pass):
    operator = "Cast"
    contract = Exact()
    domain = {"input": (-1e30, 1e30)}
    form: Literal["compare", "arithmetic"] = "compare"  # what becomes of it

    def rewrite(self, op, node):
        if self.form == "compare":
            x = node.inputs[0]
            if node.attr("to") != BOOL or x.dtype is None or x.dtype.kind not in "fi":
                return op.skip("it is no Cast of numbers to booleans")
            if op.opset < 11 and x.dtype.kind == "f":
                return op.skip("below opset 11 floats are not compared")
            return op.Not(op.Equal(x, np.zeros((), x.dtype)))
        maker = node.inputs[0].ir.producer()
        if maker is None or maker.op_type != "Cast" or maker.domain or maker.attributes["to"].as_int() != BOOL:
            return op.skip("it does not read a Cast to booleans")
        x = maker.inputs[0]
        if x.dtype is None or x.dtype.numpy().kind != "f" or node.dtype is None or node.dtype.kind != "f":
            return op.skip("it is not from floats to floats")
        share = op.Abs(op.Sign(x))
        return share if share.dtype == node.dtype else op.Cast(share, to=node.dtype)
