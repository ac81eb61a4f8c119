"""What is known inside one graph of a model: types, stored tensors, who gives and who takes a value."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx

from surgery.protos import subgraphs

Dims = tuple[int | str | None, ...]

STANDARD = ("", "ai.onnx")
_FAR = 1000  # nodes that are followed back
# Operators of results that are never negative, and those that hand on the elements of their first input.
_COUNTS = frozenset({"ArgMax", "ArgMin", "NonZero", "Shape", "Size", "Abs", "Relu"})
_MOVES = frozenset(
    {"Cast", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)


# Operators by which a length is computed from a length.
_LENGTHS = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Squeeze", "Sub", "Unsqueeze"})


class Scope:
    """What is known inside one graph: the values that it defines, and those around it."""

    def __init__(self, around: Scope | None = None) -> None:
        self.types: dict[str, tuple[str | None, Dims | None]] = {} if around is None else dict(around.types)
        self.stored: dict[str, onnx.TensorProto] = {} if around is None else dict(around.stored)
        self.makers: dict[str, onnx.NodeProto] = {} if around is None else dict(around.makers)
        self.readers: dict[str, set[str]] = defaultdict(set)
        self.outputs: set[str] = set()
        self.inside = around is not None
        self._shaped: dict[str, bool] = {}

    def read(self, graph: Any) -> None:
        """Take in a graph, or the body of a function."""
        for tensor in getattr(graph, "initializer", ()):
            self._store(tensor.name, tensor)
        for value in (*getattr(graph, "value_info", ()), *graph.input, *graph.output):
            if not isinstance(value, str) and value.type.WhichOneof("value") == "tensor_type":
                known = type_of(value.type.tensor_type)
                if value.name not in self.types or None in self.types[value.name]:
                    self.types[value.name] = known
        self.outputs = {value if isinstance(value, str) else value.name for value in graph.output}
        live = set(self.outputs)
        for node in reversed(graph.node):  # who takes a value counts only if its own are taken
            if not live.isdisjoint(node.output):
                for name in (*node.input, *(name for within in subgraphs(node) for name in _taken(within))):
                    live.add(name)
                    self.readers[name].add(node.op_type)
        for node in graph.node:
            for name in node.output:
                self.makers[name] = node
            if node.op_type == "Constant" and node.domain in STANDARD:
                tensor = _constant(node)
                if tensor is not None:
                    self._store(node.output[0], tensor)
        for node in graph.node:  # exporters hand constants on by Identity
            if node.op_type == "Identity" and node.input and node.input[0] in self.stored:
                self._store(node.output[0], self.stored[node.input[0]])

    def _store(self, name: str, tensor: onnx.TensorProto) -> None:
        self.stored[name] = tensor
        self.types[name] = (element(tensor.data_type), tuple(tensor.dims))

    def rank(self, name: str) -> int | None:
        """The rank of a value, through a Squeeze by axes from around the graph, which onnx does not infer."""
        shape = self.types.get(name, (None, None))[1]
        if shape is not None:
            return len(shape)
        node = self.makers.get(name)
        if node is None or node.op_type not in ("Squeeze", "Unsqueeze") or len(node.input) < 2:
            return None
        inside, axes = self.rank(node.input[0]), self.stored.get(node.input[1])
        if inside is None or axes is None:
            return None
        count: int = math.prod(axes.dims)
        return inside - count if node.op_type == "Squeeze" else inside + count

    def settled(self, name: str) -> bool:
        """Whether a value comes from constants, and shapes that are numbers."""
        if not self._from_shapes(name):
            return False
        stack, seen = [name], {name}
        while stack:
            node = self.makers.get(stack.pop())
            if node is None:
                continue
            if node.op_type in ("Shape", "Size"):
                shape = self.types.get(node.input[0], (None, None))[1]
                if shape is None or not all(isinstance(d, int) for d in shape):
                    return False
                continue
            stack += [i for i in node.input if i not in seen]
            seen.update(node.input)
        return True

    def follows(self, name: str, deep: int = 20) -> int:
        """How many free dims a length is computed from, each read by Gather from a Shape; 0 where that is not seen."""
        node = self.makers.get(name)
        if node is None or not deep:
            return 0
        if node.op_type == "Gather":
            shape = self.makers.get(node.input[0])
            written = any(a.name == "axis" for a in node.attribute)
            return int(written and shape is not None and shape.op_type == "Shape")
        if node.op_type not in _LENGTHS:
            return 0
        counts = [self.follows(i, deep - 1) for i in node.input if not self.settled(i)]
        return 0 if 0 in counts else sum(counts)

    def signed(self, name: str) -> bool:
        """Whether integers may be negative: stored ones are seen, others are known by what gives them."""
        for _ in range(_FAR):
            if name in self.stored:
                return any(v < 0 for v in elements(self.stored[name]) or [-1])
            node = self.makers.get(name)
            if node is None or not node.input:
                return True
            if node.op_type in _COUNTS:
                return False
            if node.op_type == "Add":  # i + length * (i < 0): negative ones count from the end
                made = [self.makers.get(i) for i in node.input]
                return not any(m is not None and m.op_type == "Mul" and self._below_zero(m) for m in made)
            if node.op_type not in _MOVES:
                return True
            name = node.input[0]
        return True

    def _below_zero(self, node: onnx.NodeProto) -> bool:
        """Whether a factor is the truth value of being negative."""
        for name in node.input:
            cast = self.makers.get(name)
            less = None if cast is None or cast.op_type != "Cast" else self.makers.get(cast.input[0])
            if less is not None and less.op_type == "Less":
                return True
        return False

    def of_shape(self, name: str) -> bool:
        """Whether a value comes from shapes and constants alone, and from a shape at all."""
        return self._from_shapes(name) and name not in self.stored

    def _from_shapes(self, name: str) -> bool:
        if name in self._shaped:
            return self._shaped[name]
        self._shaped[name] = False  # a name that leads to itself comes from no shape
        stack = [name]
        while stack:  # without recursion: chains may be long
            here = stack[-1]
            node = self.makers.get(here)
            if here in self.stored or not here:
                self._shaped[here] = True
            elif node is None:
                self._shaped[here] = False
            elif node.op_type in ("Shape", "Size"):
                self._shaped[here] = True
            elif node.attribute and any(a.HasField("g") for a in node.attribute):
                self._shaped[here] = False
            else:
                waiting = [i for i in node.input if i not in self._shaped]
                if waiting:
                    self._shaped.update(dict.fromkeys(waiting, False))
                    stack += waiting
                    continue
                self._shaped[here] = bool(node.input) and all(self._shaped[i] for i in node.input)
            stack.pop()
        return self._shaped[name]


def _taken(graph: onnx.GraphProto) -> Iterator[str]:
    """The names that a sub-graph takes, from wherever."""
    for node in graph.node:
        yield from node.input
        for within in subgraphs(node):
            yield from _taken(within)
    yield from (o.name for o in graph.output)


def type_of(tensor: onnx.TypeProto.Tensor) -> tuple[str | None, Dims | None]:
    """Element type and dims, as far as they are declared."""
    dims: Dims | None = None
    if tensor.HasField("shape"):
        dims = tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or None
            for d in tensor.shape.dim
        )
    return element(tensor.elem_type), dims


@cache
def element(code: int) -> str | None:
    """The name of an element type: numpy's, or that of ml_dtypes."""
    try:
        return None if not code else str(onnx.helper.tensor_dtype_to_np_dtype(code))
    except KeyError:
        return None


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor: onnx.TensorProto = attribute.t
            return tensor
        if attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
            value = onnx.helper.get_attribute_value(attribute)
            dtype = np.float32 if "float" in attribute.name else np.int64
            return onnx.numpy_helper.from_array(np.array(value, dtype))
    return None


def elements(tensor: onnx.TensorProto) -> list[Any] | None:
    """The elements of a stored tensor in a flat list; None of a large one."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None  # a large weight: no rule asks for its elements
    try:
        elements: list[Any] = onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
    except (ValueError, TypeError, KeyError):
        return None
    return elements
