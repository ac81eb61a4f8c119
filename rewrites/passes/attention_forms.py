"""Spell Attention and RotaryEmbedding by the operators of older opsets, for known shapes.

    q, k, v ── Attention ── y            =>    q, kᵀ ── MatMul ── Mul ── Softmax ── MatMul(v) ── y
    x, cos, sin ── RotaryEmbedding ── y  =>    halves a, b of x:  Concat(a·cos - b·sin, a·sin + b·cos) ── y

Why: both came with opset 23; MNN 3.6.1, ncnn and most compilers lack them, and the bodies that the standard gives
compute their shapes as they run, which MNN gets wrong and ncnn refuses.
Numbers: the function bodies of the ONNX operator specification (Attention-23, RotaryEmbedding-23), for known shapes;
sums may be taken in another order.
Refuses: nothing. Plain forms are taken: four axes; of Attention no mask, cache or cap, and as many heads of keys as of
queries; of RotaryEmbedding no positions, halves in a row, all of the head. `function-bodies` takes the others.
"""

import numpy as np

from surgery import Close, Pass


class AttentionForms(Pass):
    operator = ("Attention", "RotaryEmbedding")
    contract = Close(rtol=1e-4, atol=1e-5)
    domain = {"Q": (-1e3, 1e3), "K": (-1e3, 1e3), "V": (-1e15, 1e15), "X": (-1e15, 1e15)}

    def rewrite(self, op, node):
        shapes = [value.shape for value in node.inputs[:3] if value is not None]
        if any(shape is None or not all(isinstance(d, int) for d in shape[1:]) for shape in shapes):
            return op.skip("its lengths are not known")
        if len(shapes[0]) != 4 or len(node.inputs) > 3 or len(node.outputs) > 1:
            return op.skip("it is not of four axes, or has masks, caches or positions")
        return (rotary if node.op_type == "RotaryEmbedding" else attention)(op, node)


def attention(op, node):
    """The softmax of products, applied to values."""
    q, k, v = node.inputs
    if node.attr("is_causal", 0) or node.attr("softcap", 0.0) or node.attr("softmax_precision") is not None:
        return op.skip("it is causal, capped, or of another precision")
    if q.shape[1] != k.shape[1]:
        return op.skip("heads of keys are shared")
    scale = node.attr("scale")
    scale = 1 / np.sqrt(q.shape[3]) if scale is None else scale
    scores = op.MatMul(op.Mul(q, float(scale)), op.Transpose(k, perm=[0, 1, 3, 2]))
    return op.MatMul(op.Softmax(scores, axis=-1), v)


def rotary(op, node):
    """Both halves turned."""
    x, cosines, sines = node.inputs
    width = x.shape[3]
    if node.attr("interleaved", 0) or node.attr("rotary_embedding_dim", 0) not in (0, width) or len(cosines.shape) != 3:
        return op.skip("it is interleaved, or of a part of the head")
    if width % 2 or cosines.shape[2] != width // 2:
        return op.skip("its angles are not those of half a head")
    a, b = op.Slice(x, [0], [width // 2], [3]), op.Slice(x, [width // 2], [width], [3])
    cosines, sines = op.Unsqueeze(cosines, [1]), op.Unsqueeze(sines, [1])
    first = op.Sub(op.Mul(a, cosines), op.Mul(b, sines))
    return op.Concat(first, op.Add(op.Mul(a, sines), op.Mul(b, cosines)), axis=3)
