"""Write the sizes of the parts that Split makes.

    x [8] ── Split(num_outputs=3)    =>    x [8] ── Split(3, 3, 2)

Why: MNN 3.6.1 and ncnn share a length that ``num_outputs`` does not divide out otherwise than the standard (ONNX
operator specification, Split-18: the last part is the smaller one); before opset 18 sizes were the only way.
Numbers: elements are moved; nothing is computed.
Refuses: nothing. A place is left that has sizes, or whose length is free.
"""

import numpy as np

from surgery import Exact, Pass


class SplitSizes(Pass):
    operator = "Split"
    contract = Exact()

    def rewrite(self, op, node):
        x = node.inputs[0]
        if (len(node.inputs) > 1 and node.inputs[1] is not None) or node.attr("split"):
            return op.skip("it has sizes")
        length = None if x.shape is None else x.shape[node.attr("axis")]
        if not isinstance(length, int):
            return op.skip("the length that is split is free")
        count = len(node.outputs)
        size = -(-length // count)
        sizes = [size] * (count - 1) + [length - size * (count - 1)]
        if sizes[-1] < 0:
            return op.skip(f"{count} parts of {length}")
        return op.Split(x, np.array(sizes), axis=node.attr("axis"), outputs=count)
