"""What an input is for, read from the operators that it reaches.

An integer input may be an index, a length, a size, a mask; with values of another kind the
model stops in the middle, or runs and gives NaN. Each input gets *plans*: roles in the order
in which they are worth trying.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto

from surgery.equivalence.ports import Port
from surgery.equivalence.subject import Subject
from surgery.protos import attribute, subgraphs

RoleKind = Literal[
    "image", "signal", "positive", "share", "bounded", "grid", "scales",  # floats
    "index", "lengths", "count", "choice", "sizes", "parts", "axes", "bits", "digits", "ones", "zeros",  # integers
    "signed", "wide",  # integers that may be anything
    "flags", "bytes", "text",
]  # fmt: skip

_THROUGH = {"Cast", "Identity", "Reshape", "Expand", "Concat", "Add", "Squeeze", "Unsqueeze", "Slice"}
_THROUGH |= {"Transpose", "Tile", "Flatten", "Split", "Where", "Mul", "Sub", "Div", "Clip", "Pad", "Neg", "Not"}
_INDEXED = {"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Scatter"}
_RECURRENT = {"LSTM", "GRU", "RNN"}
_COMPARED = {"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"}
_PLAIN: dict[tuple[str, int], RoleKind] = {
    ("Loop", 0): "count",
    ("TopK", 1): "count",
    ("NonMaxSuppression", 2): "count",
    ("Tile", 1): "ones",
    ("Slice", 1): "zeros",
    ("Slice", 2): "sizes",
    ("Slice", 3): "axes",
    ("Slice", 4): "ones",
}
_MAX_PLANS = 6
_ANY: set[RoleKind] = {"bits", "digits", "ones", "zeros", "choice"}


@dataclass(frozen=True)
class Role:
    """A way to make values; ``bound`` and ``values`` are what its kind needs.

    index: 0 <= v < bound. choice: one of `values`. parts: they add up to bound. signed, wide: of
    either sign, up to a hundred or as large as the dtype holds, `values` and what is beside them
    among them.
    """

    kind: RoleKind
    bound: int = 2
    values: tuple[int, ...] = ()

    @property
    def loose(self) -> bool:
        """Whether nothing that the input reaches was seen to bound its values."""
        return self.kind in _ANY


@dataclass
class Roles:
    """Of every input, by name: its plans, and sizes of axes that its consumer demands."""

    plans: dict[str, list[Role]] = field(default_factory=dict)
    fixed: dict[str, dict[int, int]] = field(default_factory=dict)  # input -> axis -> size
    reached: dict[str, set[str]] = field(default_factory=dict)  # input -> nodes ("n12") that it reaches


def trace(subject: Subject) -> Roles:
    """Follow every input forward through the main graph and what lies within."""
    return _Trace(subject).result


class _Trace:
    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        self.aliases: dict[str, list[str]] = {}  # a tensor -> its names within Loop and Scan bodies
        self.makers: dict[str, onnx.NodeProto] = {}
        self._read(subject.proto.graph)
        self.result = Roles()
        for port in subject.inputs:
            uses = list(self._uses(port))
            self.result.reached[port.name] = {node.name for node, _, _ in uses}
            self.result.plans[port.name] = list(dict.fromkeys(self._plans(port, uses)))[:_MAX_PLANS]
            self.result.fixed[port.name] = self._demands(port)

    def _read(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            self.makers.update((name, node) for name in node.output)
            for index, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((node, index))
            for inner in subgraphs(node):
                if node.op_type in ("Loop", "Scan"):
                    for outer, value in zip(list(node.input)[-len(inner.input) :], inner.input, strict=False):
                        self.aliases.setdefault(outer, []).append(value.name)
                self._read(inner)

    def _uses(self, port: Port) -> Iterator[tuple[onnx.NodeProto, int, bool]]:
        """Nodes that the values of an input reach but for layout, the input index, and whether as they are."""
        todo, seen = [(port.name, True)], {port.name}
        while todo:
            name, plain = todo.pop()
            for alias in self.aliases.get(name, []):
                todo.append((alias, plain))
            for node, index in self.readers.get(name, []):
                yield node, index, plain
                through = node.op_type in _THROUGH or (index == 0 and node.op_type in (*_INDEXED, "TopK"))
                if through and not (node.op_type == "Where" and index == 0):
                    if node.op_type in ("Reshape", "Expand", "Tile", "Slice", "Pad") and index > 0:
                        continue  # a shape, not the values
                    as_is = plain and node.op_type in ("Cast", "Identity", "Squeeze", "Unsqueeze")
                    for out in node.output:
                        if out not in seen:
                            seen.add(out)
                            todo.append((out, as_is))

    def _plans(self, port: Port, uses: list[tuple[onnx.NodeProto, int, bool]]) -> Iterator[Role]:
        if port.elem == TensorProto.STRING:
            yield Role("text")
        elif port.elem == TensorProto.BOOL:
            yield Role("flags")
        elif port.elem in (TensorProto.UINT8, TensorProto.INT8):
            yield Role("bytes")
        elif port.numpy.kind in "iu":
            yield from self._integer_plans(port, uses)
        else:
            yield from self._float_plans(port, uses)

    def _float_plans(self, port: Port, uses: list[tuple[onnx.NodeProto, int, bool]]) -> Iterator[Role]:
        direct = {(node.op_type, index) for node, index, plain in uses if plain}
        if direct & {("Resize", 2), ("Upsample", 1)} or (("Resize", 1) in direct and len(port.dims or ()) == 1):
            yield Role("scales")
        if any(op in ("GridSample", "grid_sampler") and index == 1 for op, index in direct):
            yield Role("grid")
        if any(op == "NonMaxSuppression" and index > 2 for op, index in direct) or port.dims == ():
            yield Role("share")
        image = port.dims is not None and len(port.dims) == 4
        yield Role("image" if image else "signal")
        yield Role("positive")  # Log, Sqrt, Pow
        yield Role("bounded")  # Acos, Atanh

    def _integer_plans(self, port: Port, uses: list[tuple[onnx.NodeProto, int, bool]]) -> Iterator[Role]:
        for node, index, plain in sorted(uses, key=lambda use: not use[2]):
            yield from self._integer_role(node, index, plain)
        yield Role("bits")
        yield Role("lengths")
        yield Role("ones")
        yield Role("zeros")
        yield Role("digits")

    def _integer_role(self, node: onnx.NodeProto, index: int, plain: bool) -> Iterator[Role]:
        op = node.op_type
        if op in _INDEXED and index == 1:
            yield Role("index", self._extent(node) or 2)
        elif op == "OneHot" and index == 0:
            depth = self._constant(node.input[1])
            yield Role("index", int(depth.ravel()[0]) if depth is not None else 2)
        elif op in _RECURRENT and index == 4:
            yield Role("lengths")
        elif op in _COMPARED:
            other = node.input[1 - index]
            against = self._constant(other)
            if against is not None and against.size == 1 and against.dtype.kind in "iuf":
                c = int(against.ravel()[0])
                yield Role("choice", values=(c, c + 1))
            elif self._counts(other):
                yield Role("lengths")
        elif plain and (op, index) in _PLAIN:
            yield Role(_PLAIN[op, index])
        elif op == "Split" and index == 1:
            whole = self._size(node.input[0], attribute(node, "axis", 0))
            if whole:
                yield Role("parts", whole)
        elif op == "Range":
            yield Role("count")
        elif (op in ("Resize", "Reshape", "Expand") and index) or op == "ConstantOfShape":
            yield Role("sizes")
        elif (op.startswith("Reduce") or op in ("Squeeze", "Unsqueeze", "CumSum")) and index == 1:
            yield Role("axes")

    def _extent(self, node: onnx.NodeProto) -> int | None:
        """The size of the axis that an index runs over, where the data is a constant."""
        name = node.input[0]
        for _ in range(4):
            if weight := self.subject.weights.get(name):
                axis = 0 if node.op_type.endswith("ND") else attribute(node, "axis", 0)
                return int(weight.dims[axis]) if -len(weight.dims) <= axis < len(weight.dims) else None
            maker = self.makers.get(name)
            if maker is None or maker.op_type not in ("Identity", "Cast") or not maker.input:
                break
            name = maker.input[0]
        return None if node.op_type.endswith("ND") else self._size(name, attribute(node, "axis", 0))

    def _size(self, name: str, axis: int) -> int | None:
        """The size of an axis of a model's input, where the file tells it."""
        for port in self.subject.inputs:
            if port.name == name and port.dims and -len(port.dims) <= axis < len(port.dims):
                size = port.dims[axis]
                return size if isinstance(size, int) and size > 0 else None
        return None

    def _constant(self, name: str) -> np.ndarray | None:
        weight = self.subject.weights.get(name)
        if weight is None or np.prod(weight.dims) > 4096:
            return None
        return self.subject.weight(name)

    def _counts(self, name: str) -> bool:
        """Whether a tensor is 0, 1, 2, ...: a Range, or a constant that counts."""
        for _ in range(4):
            node = self.makers.get(name)
            if node is None:
                constant = self._constant(name)
                flat = None if constant is None else constant.ravel()
                return flat is not None and flat.size > 1 and bool((flat == np.arange(flat.size)).all())
            if node.op_type == "Range":
                return True
            if node.op_type not in _THROUGH:
                return False
            name = node.input[0]
        return False

    def _demands(self, port: Port) -> dict[int, int]:
        """Sizes of axes of a float input that its first weighted operator asks for."""
        if port.dims is None or port.numpy.kind != "f":
            return {}
        todo, seen = [(port.name, list(range(len(port.dims))))], {port.name}
        while todo:
            name, axes = todo.pop()
            for node, index in self.readers.get(name, []):
                if index == 0 and (size := self._weighted(node, len(axes))):
                    axis, wanted = size
                    return {axes[axis]: wanted}
                if node.op_type == "Transpose":
                    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), axes[::-1])
                    axes_out = [axes[i] for i in perm] if len(perm) == len(axes) else []
                elif node.op_type in ("Cast", "Identity", "Sub", "Div", "Mul", "Add", "Clip", "Relu"):
                    axes_out = axes
                else:
                    continue
                if axes_out and node.output[0] not in seen:
                    seen.add(node.output[0])
                    todo.append((node.output[0], axes_out))
        return {}

    def _weighted(self, node: onnx.NodeProto, rank: int) -> tuple[int, int] | None:
        """The axis of a node's first input whose size its weight gives, and the size."""
        weight = self.subject.weights.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or not weight.dims:
            return None
        dims = list(weight.dims)
        if node.op_type == "Conv" and rank > 2:
            return 1, int(dims[1]) * attribute(node, "group", 1)
        if node.op_type == "MatMul" and len(dims) >= 2:
            return rank - 1, int(dims[-2])
        if node.op_type == "Gemm" and not attribute(node, "transA", 0):
            return 1, int(dims[1] if attribute(node, "transB", 0) else dims[0])
        if node.op_type in _RECURRENT:
            return 2, int(dims[2])
        return None
