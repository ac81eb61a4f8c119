"""Hold constant indices as int32, for compilers that lack int64.

    x, indices int64 ── Gather ── y     =>     x, indices int32 ── Gather ── y

For Gather, GatherElements, ScatterElements, and the starts, ends, axes and steps of Slice, which all take either
(ONNX operator specification, Tind). Where a Slice goes to "the end", which exporters write as the largest int64,
the largest int32 says the same.

Why: ATC casts int64 away on its own or refuses it; several NPUs have no 64-bit integers.
Numbers: the numbers are the same, or name the same end.
Refuses: nothing. A place is left whose numbers int32 can't hold, or that has only some of them constant.
"""

import numpy as np

from surgery import Exact, Pass

INT32 = np.iinfo(np.int32)


class Int32Indices(Pass):
    operator = ("Gather", "GatherElements", "ScatterElements", "Slice")
    contract = Exact()

    def rewrite(self, op, node):
        inputs = list(node.inputs)
        numbers = range(1, len(inputs)) if node.op_type == "Slice" else [1]
        known = {i: inputs[i].constant for i in numbers if inputs[i] is not None}
        if not known:
            return op.skip("it has no indices as inputs")
        if any(values is None for values in known.values()):
            return op.skip("its indices are not constant")
        if all(values.dtype == np.int32 for values in known.values()):
            return op.skip("they are int32")
        for i, values in known.items():
            small = np.clip(values, INT32.min, INT32.max).astype(np.int32)
            if node.op_type != "Slice" and (small != values).any():
                return op.skip("int32 can't hold its indices")
            inputs[i] = op.constant(small)
        attributes = {name: node.attr(name) for name in node.ir.attributes}
        return getattr(op, node.op_type)(*inputs, **attributes)
