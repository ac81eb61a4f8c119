"""What is in a model: inputs and outputs, operators, size, history. Weights are not read."""

from __future__ import annotations

import fnmatch
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from surgery import provenance
from surgery.protos import proto_tensors, subgraphs
from surgery.reading import read_proto
from surgery.sound import nbytes

_SHORT = 16  # elements of a tensor in an attribute that are shown

Dim = int | str | None


@dataclass
class Port:
    """An input or output. ``dims`` holds a number, a symbol or None an axis; it is None for an unknown rank."""

    name: str
    type: str  # "float", "sequence of float", ...
    dims: list[Dim] | None = None

    @property
    def signature(self) -> str:
        """``float[N,3,?,?]``."""
        dims = "..." if self.dims is None else ",".join("?" if d is None else str(d) for d in self.dims)
        return f"{self.type}[{dims}]"


@dataclass
class Node:
    """A node, with where it is: the function and the nodes around it, outermost first."""

    name: str
    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    inside: list[str] = field(default_factory=list)


@dataclass
class Weights:
    """All tensors that the model stores: initializers, and those in attributes."""

    tensors: int = 0
    elements: int = 0
    bytes: int = 0


@dataclass
class Contents:
    """What is in a model. ``nodes`` and ``operators`` count sub-graphs and functions, too."""

    model: str
    file_bytes: int
    ir_version: int
    opsets: dict[str, int]
    producer: str
    inputs: list[Port]
    outputs: list[Port]
    weights: Weights
    nodes: int
    operators: dict[str, int]
    functions: dict[str, int]  # name to number of nodes
    metadata: dict[str, str]
    history: list[dict[str, Any]]
    found: list[Node] | None = None


def read_contents(path: str | os.PathLike[str], pattern: str | None = None) -> Contents:
    """Look into a model.

    Args:
        path: the model file.
        pattern: nodes to describe: a part of the name of a node or an output, or of an operator, in
            capitals or not; with ``*``, ``?`` or ``[...]``, as in names of files, the whole of it.

    Raises:
        BadInput: the file can't be read, or is no model.
    """
    proto = read_proto(path)
    weights = Weights()
    for tensor, _ in proto_tensors(proto):
        size = nbytes(tensor)
        weights.tensors += 1
        weights.elements += math.prod(tensor.dims)
        weights.bytes += sum(map(len, tensor.string_data)) if size is None else size
    operators = Counter(_operator(node) for node, _ in _nodes(proto))
    stored = {t.name for t in proto.graph.initializer}
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    return Contents(
        model=os.fspath(path),
        file_bytes=Path(path).stat().st_size,
        ir_version=proto.ir_version,
        opsets={o.domain or "ai.onnx": o.version for o in proto.opset_import},
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        inputs=[_port(v) for v in proto.graph.input if v.name not in stored],
        outputs=[_port(v) for v in proto.graph.output],
        weights=weights,
        nodes=operators.total(),
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        functions={_qualified(f.domain, f.name): len(f.node) for f in proto.functions},
        metadata=metadata,
        history=provenance.history(metadata) or [],
        found=None if pattern is None else list(_find(proto, pattern)),
    )


def _nodes(proto: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, list[str]]]:
    """Every node of a model, and what it is inside."""

    def walk(nodes: Any, inside: list[str]) -> Iterator[tuple[onnx.NodeProto, list[str]]]:
        for node in nodes:
            yield node, inside
            for graph in subgraphs(node):
                yield from walk(graph.node, [*inside, node.name or _operator(node)])

    yield from walk(proto.graph.node, [])
    for function in proto.functions:
        yield from walk(function.node, [_qualified(function.domain, function.name)])


def _find(proto: onnx.ModelProto, pattern: str) -> Iterator[Node]:
    plain = pattern.lower()
    globs = re.compile(fnmatch.translate(plain)).match if set("*?[") & set(plain) else None
    for node, inside in _nodes(proto):
        names = (node.name, node.op_type, _operator(node), *node.output)
        if any(globs(name) or name == plain if globs else plain in name for name in map(str.lower, names) if name):
            attributes = {a.name: _attribute(a) for a in node.attribute}
            yield Node(node.name, _operator(node), list(node.input), list(node.output), attributes, inside)


def _attribute(attribute: onnx.AttributeProto) -> Any:
    """The value of an attribute in plain types; graphs and large tensors in words."""
    kinds = onnx.AttributeProto
    if attribute.ref_attr_name:
        return f"attribute {attribute.ref_attr_name!r} of the function"
    if attribute.type == kinds.TENSOR:
        return _tensor(attribute.t)
    if attribute.type == kinds.TENSORS:
        return [_tensor(t) for t in attribute.tensors]
    if attribute.type == kinds.GRAPH:
        return _graph(attribute.g)
    if attribute.type == kinds.GRAPHS:
        return [_graph(g) for g in attribute.graphs]
    if attribute.type in (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.FLOATS, kinds.INTS, kinds.STRINGS):
        value = onnx.helper.get_attribute_value(attribute)
        return [_plain(v) for v in value] if attribute.type >= kinds.FLOATS else _plain(value)
    return kinds.AttributeType.Name(attribute.type).lower()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    # A float of 32 bits as what it was written from: 0.1, not 0.10000000149.
    return float(f"{value:.8g}") if isinstance(value, float) else value


def _tensor(tensor: onnx.TensorProto) -> Any:
    if math.prod(tensor.dims) <= _SHORT and tensor.data_location != onnx.TensorProto.EXTERNAL:
        try:
            return onnx.numpy_helper.to_array(tensor).tolist()
        except (ValueError, TypeError):
            pass  # a type that numpy lacks, or data that don't fit it
    return f"tensor {_element(tensor.data_type)}{list(tensor.dims)}"


def _graph(graph: onnx.GraphProto) -> str:
    return f"graph {graph.name!r} of {len(graph.node)} nodes"


def _port(info: onnx.ValueInfoProto) -> Port:
    words, kind = [], info.type
    while kind.WhichOneof("value") in ("sequence_type", "optional_type", "map_type"):
        wrapper = kind.WhichOneof("value")
        words.append(f"{wrapper.removesuffix('_type')} of")
        kind = kind.map_type.value_type if wrapper == "map_type" else getattr(kind, wrapper).elem_type
    which = kind.WhichOneof("value")
    if which not in ("tensor_type", "sparse_tensor_type"):
        return Port(info.name, " ".join([*words, "unknown"]))
    if which == "sparse_tensor_type":
        words.append("sparse")
    tensor = getattr(kind, which)
    dims = [_dim(d) for d in tensor.shape.dim] if tensor.HasField("shape") else None
    return Port(info.name, " ".join([*words, _element(tensor.elem_type)]), dims)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None


def _element(code: int) -> str:
    known = onnx.TensorProto.DataType.values()
    return onnx.TensorProto.DataType.Name(code).lower() if code in known else f"type {code}"


def _operator(node: onnx.NodeProto) -> str:
    return _qualified(node.domain, node.op_type)


def _qualified(domain: str, name: str) -> str:
    return name if domain in ("", "ai.onnx") else f"{domain}::{name}"
