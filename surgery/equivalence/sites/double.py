"""Evaluate a half of a cut in double precision, as a judge between two roundings.

On onnx's reference evaluator, which has a double for every operator where ONNX Runtime has
few. Some are our own: at opset 9 to 13 the evaluator mixes statistics of the batch into
BatchNormalization; it rounds LayerNormalization to single precision; for Conv it takes up to
nine tenths of all time.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from surgery.equivalence.sites.cuts import Half
from surgery.protos import read_weight, subgraphs

MOST = 400_000  # elements of the inputs; more would take seconds

_NARROW = {TensorProto.FLOAT, TensorProto.FLOAT16}
_SINGLE = {"Resize": (1, 2), "Upsample": (1,)}  # inputs that the operator takes as float32 alone


class BatchNormalization(OpRun):
    """As in inference, at every opset."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, b: Any, mean: Any, var: Any, epsilon: float = 1e-5, **_: Any) -> Any:
        shape = (1, -1) + (1,) * (x.ndim - 2)
        factor = scale / np.sqrt(var + epsilon)
        return (x * factor.reshape(shape) + (b - mean * factor).reshape(shape),)


class LayerNormalization(OpRun):
    """In the precision of its input."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, b: Any = None, axis: int = -1, epsilon: float = 1e-5, **_: Any) -> Any:
        axes = tuple(range(axis % x.ndim, x.ndim))
        mean = x.mean(axes, keepdims=True)
        factor = 1 / np.sqrt(np.square(x - mean).mean(axes, keepdims=True) + epsilon)
        y = (x - mean) * factor * scale
        return (y if b is None else y + b, mean, factor)[: len(self.onnx_node.output)]


class Conv(OpRun):
    """Any number of spatial axes, groups, strides, pads and dilations."""

    op_domain = ""

    def _run(
        self,
        x: Any,
        w: Any,
        b: Any = None,
        auto_pad: str = "NOTSET",
        dilations: Any = None,
        group: int = 1,
        kernel_shape: Any = None,
        pads: Any = None,
        strides: Any = None,
    ) -> Any:
        axes = x.ndim - 2
        steps, gaps = strides or [1] * axes, dilations or [1] * axes
        reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], gaps, strict=True)]
        pairs = _pads(auto_pad, pads, x.shape[2:], reach, steps)
        padded = np.pad(x, [(0, 0), (0, 0), *pairs])
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, x.ndim)))
        every = slice(None)
        apart = [slice(None, None, s) for s in (*steps, *gaps)]
        windows = windows[(every, every, *apart)]
        taps = [1, *range(2 + axes, 2 + 2 * axes)]  # channels and the axes of the kernel
        parts = []
        for own, kernel in zip(np.split(windows, group, 1), np.split(w, group, 0), strict=True):
            parts.append(np.moveaxis(np.tensordot(own, kernel, (taps, range(1, 2 + axes))), -1, 1))
        y = np.concatenate(parts, 1)
        return (y if b is None else y + b.reshape(1, -1, *[1] * axes),)


_OURS: list[type[OpRun]] = [BatchNormalization, LayerNormalization, Conv]


def _pads(auto_pad: str, pads: Any, sizes: Any, reach: Any, steps: Any) -> list[tuple[int, int]]:
    count = len(sizes)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        pairs = []
        for size, k, step in zip(sizes, reach, steps, strict=True):
            total = max((-(-size // step) - 1) * step + k - size, 0)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
        return pairs
    given = list(pads or [0] * 2 * count) if auto_pad != "VALID" else [0] * 2 * count
    return [(given[i], given[i + count]) for i in range(count)]


class Double:
    """A half of a cut in double precision; made when first asked for.

    Args:
        half: the half; it is not changed.
    """

    def __init__(self, half: Half) -> None:
        self._half = half
        self._evaluator: ReferenceEvaluator | None = None

    def run(self, feeds: Mapping[str, Any]) -> np.ndarray | None:
        """The output; None where it can't be had."""
        if sum(np.size(v) for v in feeds.values() if isinstance(v, np.ndarray)) > MOST:
            return None
        try:
            with np.errstate(all="ignore"):
                if self._evaluator is None:
                    self._evaluator = ReferenceEvaluator(doubled(self._half), new_ops=_OURS)
                value = next(iter(self._evaluator.run(None, {n: _wide(v) for n, v in feeds.items()})))
        except Exception:  # what the evaluator lacks or gets wrong shows as an error of any type
            return None
        return value if isinstance(value, np.ndarray) and value.dtype == np.float64 else None


def doubled(half: Half) -> onnx.ModelProto:
    """The model of a half with double in place of float and float16, its weights within it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(half.proto)
    graph = proto.graph
    single = {
        node.input[i]
        for node in graph.node
        for i in _SINGLE.get(node.op_type, ())
        if len(node.input) > i and node.input[i]
    }
    for tensor in graph.initializer:
        name, value = tensor.name, read_weight(tensor, half.folder)
        tensor.CopyFrom(numpy_helper.from_array(value if name in single else _wide(value), name))
    for value in graph.input:
        if value.type.tensor_type.elem_type in _NARROW:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    _double(graph)
    # What the operator wants in float32 is cast back where it is no constant.
    constants = {tensor.name for tensor in graph.initializer}
    nodes, count = [], itertools.count()
    for node in graph.node:
        for i in _SINGLE.get(node.op_type, ()):
            if len(node.input) > i and node.input[i] and node.input[i] not in constants:
                name = f"single{next(count)}"
                nodes.append(helper.make_node("Cast", [node.input[i]], [name], to=TensorProto.FLOAT))
                node.input[i] = name
        nodes.append(node)
    graph.ClearField("node")
    graph.node.extend(nodes)
    return proto


def _double(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        for a in node.attribute:
            if node.op_type == "Cast" and a.name == "to" and a.i in _NARROW:
                a.i = TensorProto.DOUBLE
            elif a.type == AttributeProto.TENSOR and a.t.data_type in _NARROW:
                a.t.CopyFrom(numpy_helper.from_array(_wide(numpy_helper.to_array(a.t))))
        for inner in subgraphs(node):
            for tensor in inner.initializer:
                if tensor.data_type in _NARROW:
                    tensor.CopyFrom(numpy_helper.from_array(_wide(numpy_helper.to_array(tensor)), tensor.name))
            _double(inner)


def _wide(value: Any) -> Any:
    narrow = isinstance(value, np.ndarray) and value.dtype in (np.float16, np.float32)
    return value.astype(np.float64) if narrow else value
