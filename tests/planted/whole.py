"""Planted faults that whole-model verification must catch.

Each pass looks right and is wrong in one corner. `TENSOR` is the first tensor that it gets
wrong, by the name that the model before has for it.
"""

from __future__ import annotations

import numpy as np

from surgery import Close, Pass

PLANTED: dict[str, type[Pass]] = {}
TENSOR: dict[str, str] = {}


def planted(tensor):
    """Enter a pass under its class's name, with the tensor that it gets wrong first."""

    def enter(cls):
        cls.name = cls.__name__
        PLANTED[cls.__name__], TENSOR[cls.__name__] = cls, tensor
        return cls

    return enter


class Wrong(Pass):
    """What the planted passes share: they promise to be close."""

    operator = "Nothing"
    contract = Close(rtol=1e-5, atol=1e-6)

    def rewrite(self, op, node):
        raise NotImplementedError


@planted("r3")
class FirstSampleForAll(Wrong):
    """Right at batch 1 alone."""

    operator = "Relu"

    def rewrite(self, op, node):
        (x,) = node.inputs
        return op.Expand(op.Slice(op.Relu(x), [0], [1], [0]), op.Shape(x))


@planted("r3")
class LastSampleLost(Wrong):
    """Right but for the last sample of three or more."""

    operator = "Relu"

    def rewrite(self, op, node):
        (x,) = node.inputs
        batch = op.Cast(op.Shape(x, start=0, end=1), to=np.float32)
        lost = op.Cast(op.Greater(batch, [2.0]), to=np.float32)
        head = op.Relu(op.Slice(x, [0], [-1], [0]))
        tail = op.Mul(op.Relu(op.Slice(x, [-1], [2**31 - 1], [0])), op.Sub(1.0, lost))
        return op.Concat(head, tail, axis=0)


@planted("c1")
class OddWidth(Wrong):
    """Off by a thousandth where the width is odd."""

    operator = "Conv"

    def rewrite(self, op, node):
        if node.outputs[0].name != "c1":
            return op.skip("another one")
        x, w, b = node.inputs
        odd = op.Cast(op.Mod(op.Shape(x, start=3, end=4), [2]), to=np.float32)
        return op.Mul(op.Conv(x, w, b, pads=[1, 1, 1, 1]), op.Add(1.0, op.Mul(odd, 0.001)))


@planted("sampled")
class BorderForZeros(Wrong):
    """Wrong where the grid leaves [-1, 1]."""

    operator = "GridSample"

    def rewrite(self, op, node):
        x, grid = node.inputs
        return (
            op.GridSample(x, grid, mode="linear", padding_mode="border")
            if op.opset >= 20
            else op.call("GridSample", [x, grid], {"mode": "bilinear", "padding_mode": "border"})
        )


@planted("sampled")
class AlignCorners(Wrong):
    """Half a pixel off at the edges, right in the middle."""

    operator = "GridSample"

    def rewrite(self, op, node):
        x, grid = node.inputs
        return op.call("GridSample", [x, grid], {"mode": "bilinear", "align_corners": 1})


@planted("c2")
class StaleConstant(Wrong):
    """A weight of another layer of the same shape."""

    operator = "Conv"

    def rewrite(self, op, node):
        if node.outputs[0].name != "c2":
            return op.skip("another one")
        x, w, b = node.inputs
        return op.Conv(x, w.constant.copy(), b.constant[::-1].copy(), pads=[1, 1, 1, 1])


@planted("left")
class SwappedOutputs(Wrong):
    """Two outputs of one shape, changed over."""

    operator = "Split"

    def rewrite(self, op, node):
        x, parts = node.inputs
        left, right = op.Split(x, parts, axis=1)
        return [right, left]


@planted("flat")
class BatchFixed(Wrong):
    """The batch of one run became part of the model."""

    operator = "Reshape"

    def rewrite(self, op, node):
        return op.Reshape(node.inputs[0], [1, 8])


@planted("pooled")
class WidthFixed(Wrong):
    """A mean that divides by the size of one run."""

    operator = "ReduceMean"

    def rewrite(self, op, node):
        return op.Mul(op.ReduceSum(node.inputs[0], [2, 3], keepdims=0), 1 / (32 * 32))


@planted("score")
class SoftmaxOverBatch(Wrong):
    """The axis of another rank."""

    operator = "Softmax"

    def rewrite(self, op, node):
        return op.Softmax(node.inputs[0], axis=0)


@planted("c3")
class PadOffByOne(Wrong):
    """The picture shifted by a pixel, its shape kept."""

    operator = "Conv"

    def rewrite(self, op, node):
        if node.outputs[0].name != "c3":
            return op.skip("another one")
        return op.Conv(*node.inputs, pads=[2, 1, 0, 1])


@planted("n1")
class Epsilon(Wrong):
    """An epsilon of another framework's default."""

    operator = "BatchNormalization"

    def rewrite(self, op, node):
        return op.BatchNormalization(*node.inputs, epsilon=1e-3)


@planted("u2")
class Coordinates(Wrong):
    """Upsampling that starts at another corner."""

    operator = "Resize"

    def rewrite(self, op, node):
        return op.Resize(*node.inputs, mode="linear", coordinate_transformation_mode="asymmetric")


@planted("s1")
class Slope(Wrong):
    """The slope of Keras's hard sigmoid."""

    operator = "HardSwish"

    def rewrite(self, op, node):
        (x,) = node.inputs
        return op.Mul(x, op.HardSigmoid(x, alpha=0.2, beta=0.5))


@planted("k2")
class Bound(Wrong):
    """A bound that few elements reach."""

    operator = "Clip"

    def rewrite(self, op, node):
        return op.Clip(node.inputs[0], 0.0, 4.0)


@planted("grid0")
class HeightForWidth(Wrong):
    """The same while the picture is square."""

    operator = "Transpose"

    def rewrite(self, op, node):
        return op.Transpose(node.inputs[0], perm=[0, 3, 2, 1])


@planted("r3")
class Leak(Wrong):
    """A slope of a thousandth below zero."""

    operator = "Relu"

    def rewrite(self, op, node):
        return op.LeakyRelu(node.inputs[0], alpha=1e-3)


@planted("p1")
class CountPad(Wrong):
    """The padding counts, so borders are darker."""

    operator = "AveragePool"

    def rewrite(self, op, node):
        pads, kernel = node.attr("pads"), node.attr("kernel_shape")
        return op.AveragePool(
            node.inputs[0], kernel_shape=kernel, pads=pads, strides=node.attr("strides"), count_include_pad=1
        )


@planted("logits")
class HalfPrecision(Wrong):
    """Rounded to float16 on the way."""

    operator = "Gemm"

    def rewrite(self, op, node):
        y = op.Gemm(*node.inputs, transB=1)
        return op.Cast(op.Cast(y, to=np.float16), to=np.float32)


@planted("map")
class Gain(Wrong):
    """A factor off by a thousandth."""

    operator = "Mul"

    def rewrite(self, op, node):
        return op.Mul(node.inputs[0], 0.7007) if node.outputs[0].name == "map" else op.skip("another one")


@planted("best")
class SecondBest(Wrong):
    """The index of the least, where the greatest was asked for."""

    operator = "ArgMax"

    def rewrite(self, op, node):
        return op.ArgMin(node.inputs[0], axis=1, keepdims=0)


@planted("c2")
class OneWeight(Wrong):
    """One weight of 576 has lost its sign."""

    operator = "Conv"

    def rewrite(self, op, node):
        if node.outputs[0].name != "c2":
            return op.skip("another one")
        x, w, b = node.inputs
        wrong = w.constant.copy()
        at = np.unravel_index(np.abs(wrong).argmax(), wrong.shape)
        wrong[at] = -wrong[at]
        return op.Conv(x, wrong, b, pads=[1, 1, 1, 1])


@planted("grid1")
class Transposed(Wrong):
    """x and y of the grid changed over."""

    operator = "MatMul"

    def rewrite(self, op, node):
        x, w = node.inputs
        return op.MatMul(x, w.constant[:, ::-1].copy())
