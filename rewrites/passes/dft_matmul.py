"""Take a discrete Fourier transform by matrices of cosines and sines.

    x [..., n, 1] ── DFT ── y [..., m, 2]    =>    x ── Squeeze ─┬─ MatMul(cosines) ── Unsqueeze ─┐
                                                                 └─ MatMul(sines) ──── Unsqueeze ─┴─ Concat ── y

Complex input is two such products more, and a sum; the axis that is transformed is moved to the end and back.

Why: MNN 3.6.1 and ncnn lack DFT, as do most compilers for chips; the lengths of spectrograms are fixed.
Numbers: the definition (ONNX operator specification, DFT-20), summed by MatMul; the error grows as the length,
where a fast transform's grows as its logarithm.
Refuses: nothing. A place is left where the length is free, given as an input, or above ``limit``.
"""

import numpy as np

from surgery import Close, Pass


class DftMatmul(Pass):
    operator = "DFT"
    contract = Close(rtol=1e-4, atol=1e-4)
    domain = {"input": (-1e15, 1e15)}
    limit: int = 4096  # the longest transform; its matrices have this many elements squared

    def rewrite(self, op, node):
        x = node.inputs[0]
        if x.shape is None or x.dtype is None or len(x.shape) < 2:
            return op.skip(f"the rank or type of {x.name!r} is unknown")
        rank = len(x.shape)
        axis = node.constant(2) if op.opset >= 20 and len(node.inputs) > 2 else node.attr("axis", -2)
        if axis is None or (len(node.inputs) > 1 and node.inputs[1] is not None):
            return op.skip("its axis or length is an input")
        axis = int(np.asarray(axis).reshape(-1)[0]) % rank
        length, parts = x.shape[axis], x.shape[-1]
        if not isinstance(length, int) or length > self.limit or parts not in (1, 2):
            return op.skip(f"its length is {length or 'free'}")
        inverse, half = node.attr("inverse", 0), node.attr("onesided", 0)
        if inverse and half:
            return op.skip("an inverse transform of one side")
        count = length // 2 + 1 if half else length
        turns = np.outer(np.arange(length), np.arange(count)) % length * (2 * np.pi / length)
        share = 1 / length if inverse else 1.0
        cosines = (np.cos(turns) * share).astype(x.dtype)
        sines = (np.sin(turns) * (share if inverse else -share)).astype(x.dtype)
        order = [i for i in range(rank - 1) if i != axis] + [axis]  # without the last, real and imaginary
        plain = order == sorted(order)

        def part(i):
            values = op.Squeeze(x if parts == 1 else op.Slice(x, [i], [i + 1], [rank - 1]), [rank - 1])
            return values if plain else op.Transpose(values, perm=order)

        def back(values):
            if not plain:
                values = op.Transpose(values, perm=np.argsort(order).tolist())
            return op.Unsqueeze(values, [rank - 1])

        real = part(0)
        ours, theirs = op.MatMul(real, cosines), op.MatMul(real, sines)
        if parts == 2:
            imaginary = part(1)
            ours = op.Sub(ours, op.MatMul(imaginary, sines))
            theirs = op.Add(theirs, op.MatMul(imaginary, cosines))
        return op.Concat(back(ours), back(theirs), axis=rank - 1)
