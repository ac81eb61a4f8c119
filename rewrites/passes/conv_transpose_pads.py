"""Give ConvTranspose no pads, and cut its result.

    x ── ConvTranspose(pads, auto_pad, output_shape) ── y    =>    x ── ConvTranspose(pads 0) ── Slice ── y

Why: MNN 3.6.1 computes SAME_LOWER and ``output_shape`` as something else; ncnn refuses ``auto_pad`` and pads that
differ at the two ends, and is wrong about ``output_shape``.
Numbers: pads of ConvTranspose take rows and columns away from its result (ONNX operator specification,
ConvTranspose-11); with ``output_shape`` and ``auto_pad`` ONNX Runtime 1.31 takes the odd one from the head, but from
the tail with SAME_UPPER.
Refuses: nothing. A place is left that has even pads only, or whose lengths are free where they decide the pads.
"""

import numpy as np

from surgery import Close, Pass

KEPT = ("dilations", "group", "kernel_shape", "output_padding", "strides")


class ConvTransposePads(Pass):
    operator = "ConvTranspose"
    contract = Close(rtol=1e-5, atol=1e-6)

    def rewrite(self, op, node):
        x, weight = node.inputs[:2]
        if x.shape is None or weight.shape is None:
            return op.skip("a rank is unknown")
        rank = len(x.shape) - 2
        kernel = node.attr("kernel_shape") or list(weight.shape[2:])
        strides, dilations = (np.array(node.attr(name) or [1] * rank) for name in ("strides", "dilations"))
        beyond = np.array(node.attr("output_padding") or [0] * rank)
        auto, asked = node.attr("auto_pad", "NOTSET"), node.attr("output_shape")
        pads = np.array(node.attr("pads") or [0] * 2 * rank)
        if auto in ("NOTSET", "VALID") and not asked:
            head, tail = np.split(pads if auto == "NOTSET" else pads * 0, 2)
            if (head == tail).all():
                return op.skip("its pads are even")
        else:
            if not all(isinstance(d, int) for d in (*x.shape[2:], *kernel)):
                return op.skip("lengths are free, and its pads depend on them")
            sizes = np.array(x.shape[2:])
            full = (sizes - 1) * strides + beyond + (np.array(kernel) - 1) * dilations + 1
            total = np.maximum(full - (np.array(asked[-rank:]) if asked else sizes * strides), 0)
            if asked and (full < np.array(asked[-rank:])).any():
                return op.skip("output_shape is larger than what it gives")
            less, more = total // 2, total - total // 2
            head, tail = (less, more) if auto == "SAME_UPPER" else (more, less)
        if (head < 0).any() or (tail < 0).any():
            return op.skip("its pads are negative")
        how = {name: node.attr(name) for name in KEPT if name in node.ir.attributes}
        whole = op.ConvTranspose(*node.inputs, pads=[0] * 2 * rank, **how)
        # What is cut at the tail is counted from the end.
        cut = np.flatnonzero(head + tail)
        if not cut.size:
            return whole
        ends = [-int(tail[i]) if tail[i] else np.iinfo(np.int64).max for i in cut]
        return op.Slice(whole, head[cut], np.array(ends), cut + 2)
