"""Read protos: the graphs within nodes, what nodes read, what tensors hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Operators that give other values each time they are run.
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


def read_weight(tensor: TensorProto, folder: Path) -> np.ndarray:
    """The values of a tensor, wherever they lie; `folder` is that of the model file."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    where = {entry.key: entry.value for entry in tensor.external_data}
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    count = int(np.prod(tensor.dims, dtype=np.int64))
    data = np.fromfile(folder / where["location"], dtype, count, offset=int(where.get("offset", 0)))
    return data.reshape(tuple(tensor.dims))


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        kind = attribute.type
        if kind == onnx.AttributeProto.GRAPH and not attribute.ref_attr_name:
            yield attribute.g
        elif kind == onnx.AttributeProto.GRAPHS and not attribute.ref_attr_name:
            yield from attribute.graphs


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of `graph` and of every graph within."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """The names that a node reads, those its sub-graphs take from around them included."""
    yield from node.input
    for inner in subgraphs(node):
        for deep in inner.node:
            yield from reads(deep)
        yield from (value.name for value in inner.output)


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute, or `default` where it is not written."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def live_nodes(graph: onnx.GraphProto, names: Sequence[str] | None = None) -> list[onnx.NodeProto]:
    """The nodes that an output, or one of `names`, depends on, in order."""
    needed = {value.name for value in graph.output} if names is None else set(names)
    live = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            needed.update(reads(node))
            live.append(node)
    return live[::-1]


def proto_tensors(proto: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    """Every tensor that a model stores, with the name that a user knows it by."""
    yield from _of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)
        yield from _of_attributes(function.attribute_proto, function.name)


def _of_graph(graph: onnx.GraphProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    for tensor in graph.initializer:
        yield tensor, tensor.name
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[onnx.TensorProto, str]]:
    for node in nodes:
        if attributes := node.attribute:
            yield from _of_attributes(attributes, node.output[0] if node.output else node.name)


def _of_attributes(attributes: Iterable[onnx.AttributeProto], owner: str) -> Iterator[tuple[onnx.TensorProto, str]]:
    for attribute in attributes:
        kind = attribute.type
        if kind == onnx.AttributeProto.TENSOR:
            yield attribute.t, attribute.t.name or owner
        elif kind == onnx.AttributeProto.GRAPH:
            yield from _of_graph(attribute.g)
        elif kind == onnx.AttributeProto.TENSORS:
            yield from ((tensor, tensor.name or owner) for tensor in attribute.tensors)
        elif kind == onnx.AttributeProto.GRAPHS:
            for graph in attribute.graphs:
                yield from _of_graph(graph)
