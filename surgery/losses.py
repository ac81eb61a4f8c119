"""What onnx-ir would lose of a model on the way from file to file, and how it is kept.

`refuse` names what can't be kept. `remember` notes the rest when a model is loaded, in the
``meta`` of its graphs, so that it goes where they go; `mend` puts it back when the model is
written. Each item is measured on onnx-ir 1.1.0. Not kept, for it means nothing: fields
set to their defaults, the order of value_info and of metadata, "ai.onnx" for the default domain,
checksums of data files (the data moves to another file).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx_ir as ir

from surgery.errors import Refused
from surgery.nested import subgraphs
from surgery.protos import proto_tensors
from surgery.protos import subgraphs as proto_subgraphs
from surgery.sound import quoted

_META = "surgery.kept"
_CONFIGURATIONS = 11  # the first IR version that has them
_ATTRIBUTE = onnx.AttributeProto
_SPARSE = (_ATTRIBUTE.SPARSE_TENSOR, _ATTRIBUTE.SPARSE_TENSORS)
_TYPES = (_ATTRIBUTE.TYPE_PROTO, _ATTRIBUTE.TYPE_PROTOS)


@dataclass
class _Info:
    """A value_info that onnx-ir does not write: of what the graph has from elsewhere, or gives as output.

    It holds as long as the value, where there is one, has the type that it had.
    """

    proto: onnx.ValueInfoProto
    value: ir.Value | None
    then: onnx.ValueInfoProto | None  # the value when the model was loaded

    def holds(self) -> bool:
        if self.value is None:
            return True
        # A value without a name has been replaced by another, which has its own description.
        return bool(self.value.name) and ir.serde.serialize_value(self.value) == self.then


@dataclass
class Kept:
    """What one graph had, as far as onnx-ir does not carry it."""

    described: set[str] = field(default_factory=set)  # every name in value_info
    infos: list[_Info] = field(default_factory=list)
    annotations: list[onnx.TensorAnnotation] = field(default_factory=list)  # of what the graph does not make
    # An output that is declared elsewhere too, and otherwise: its place, how onnx-ir writes it, how it was.
    outputs: list[tuple[int, onnx.ValueInfoProto, onnx.ValueInfoProto]] = field(default_factory=list)


# --------------------------------------------------------------------------- refusing


def refuse(proto: onnx.ModelProto, where: str) -> None:
    """Refuse by name what would be lost for good.

    Raises:
        Refused: `where` is the file that the error names.
    """
    found = list(dict.fromkeys(_lost(proto)))
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Refused(
            f"the model holds {', '.join(found[:5])}{more}, which would be lost",
            where=where,
            cure="remove it first, if it is not needed",
        )


def _lost(proto: onnx.ModelProto) -> Iterator[str]:
    size = proto.ByteSize()
    proto.DiscardUnknownFields()
    if proto.ByteSize() != size:
        yield f"fields that onnx {onnx.__version__} does not know"
    if proto.training_info:
        yield "training_info"
    placed = proto.ir_version >= _CONFIGURATIONS
    if proto.configuration and not placed:
        yield "device configurations in a model of IR version below 11"
    yield from _twice(proto.metadata_props, "of the model")
    yield from _lost_of_graph(proto.graph, placed)
    for function in proto.functions:
        yield from _twice(function.metadata_props, f"of function {quoted(function.name)}")
        yield from _lost_of_infos(function.value_info)
        yield from _lost_of_nodes(function.node, placed)
        yield from _lost_of_attributes(function.attribute_proto, function)
    for tensor, name in proto_tensors(proto):
        if tensor.HasField("segment"):
            yield f"a segment of a tensor, {quoted(name)}"
        if tensor.metadata_props:
            yield from _twice(tensor.metadata_props, f"of tensor {quoted(name)}")


def _lost_of_graph(graph: onnx.GraphProto, placed: bool) -> Iterator[str]:
    if graph.sparse_initializer:
        yield "sparse_initializer"
    if not all(t.name for t in graph.initializer):
        yield "an initializer without a name"
    yield from _twice(graph.metadata_props, f"of graph {quoted(graph.name)}")
    for infos in (graph.input, graph.output, graph.value_info):
        yield from _lost_of_infos(infos)
    for annotation in graph.quantization_annotation:
        yield from _twice(annotation.quant_parameter_tensor_names, f"of annotation {quoted(annotation.tensor_name)}")
    yield from _lost_of_nodes(graph.node, placed)


def _lost_of_nodes(nodes: Iterable[onnx.NodeProto], placed: bool) -> Iterator[str]:
    for node in nodes:
        if node.metadata_props:
            yield from _twice(node.metadata_props, f"of node {quoted(node.name)}")
        if not placed and node.device_configurations:
            yield "device configurations in a model of IR version below 11"
        if attributes := node.attribute:
            yield from _lost_of_attributes(attributes, node)
            for graph in proto_subgraphs(node):
                yield from _lost_of_graph(graph, placed)


def _lost_of_attributes(
    attributes: Iterable[onnx.AttributeProto], of: onnx.NodeProto | onnx.FunctionProto
) -> Iterator[str]:
    for attribute in attributes:
        kind = attribute.type
        if kind in _SPARSE:
            yield f"a sparse tensor in {quoted(of.name)}"
        elif kind == _ATTRIBUTE.STRINGS:
            if not all(map(_is_text, attribute.strings)):
                yield f"strings that are not UTF-8 in {quoted(of.name)}"
        elif kind in _TYPES:
            for type_ in (attribute.tp,) if kind == _ATTRIBUTE.TYPE_PROTO else attribute.type_protos:
                yield from _lost_of_type(type_, quoted(of.name))


def _lost_of_infos(infos: Iterable[onnx.ValueInfoProto]) -> Iterator[str]:
    for info in infos:
        if info.HasField("type"):
            yield from _lost_of_type(info.type, quoted(info.name))
        if info.metadata_props:
            yield from _twice(info.metadata_props, f"of tensor {quoted(info.name)}")


def _lost_of_type(type_: onnx.TypeProto, name: str) -> Iterator[str]:
    kind = type_.WhichOneof("value")
    if kind == "tensor_type" or kind == "sparse_tensor_type":
        tensor = getattr(type_, kind)
        if not tensor.HasField("elem_type") and (tensor.HasField("shape") or type_.denotation):
            yield f"a shape without an element type, of {name}"
    elif kind == "sequence_type" or kind == "optional_type":
        element = getattr(type_, kind)
        if not element.elem_type.WhichOneof("value"):
            yield f"a {kind[:-5]} of unknown elements, {name}"
        yield from _lost_of_type(element.elem_type, name)
    elif kind is not None:
        yield f"a type that is {kind.removesuffix('_type')}, of {name}"
    elif type_.denotation:
        yield f"a denotation without a type, of {name}"


def _twice(entries: Iterable[onnx.StringStringEntryProto], of: str) -> Iterator[str]:
    """Two values under one key; the same value twice is what onnx-ir itself has written."""
    distinct = {(e.key, e.value) for e in entries}
    if len(distinct) != len({key for key, _ in distinct}):
        yield f"two metadata entries of one key, {of}"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# ------------------------------------------------------------------------ remembering


def remember(model: ir.Model, proto: onnx.ModelProto) -> None:
    """Note in `model` what onnx-ir left of `proto`, and undo what it mixed up."""
    borrowed: set[ir.Value] = set()
    for graph, old in pairs(model, proto):
        kept = graph.meta[_META] = Kept()
        described = old.value_info or (isinstance(old, onnx.GraphProto) and old.quantization_annotation)
        written = made = {name for node in old.node for name in node.output} if described else set()
        if isinstance(old, onnx.GraphProto):
            outputs = [v.name for v in old.output]
            weights = {t.name for t in old.initializer}
            ports = weights.union(v.name for v in old.input)
            written = (made | weights).difference(outputs)
            known = made.union(ports, outputs)
            kept.annotations = [a for a in old.quantization_annotation if a.tensor_name not in known]
            if len(set(outputs)) < len(outputs) or not ports.isdisjoint(outputs):
                borrowed.update(v for v in graph.outputs if v.name in ports or outputs.count(v.name or "") > 1)
        kept.described = {info.name for info in old.value_info}
        _remember_infos(graph, [info for info in old.value_info if info.name not in written], kept)
    if borrowed:
        _give_back(model, proto, borrowed)


def _remember_infos(graph: ir.Graph, infos: list[onnx.ValueInfoProto], kept: Kept) -> None:
    if not infos:
        return
    values = {v.name: v for node in graph for v in node.inputs if v is not None}
    values |= {v.name: v for v in (*graph.inputs, *graph.outputs)}
    for info in infos:
        value = values.get(info.name)
        kept.infos.append(_Info(info, value, None if value is None else ir.serde.serialize_value(value)))


def _give_back(model: ir.Model, proto: onnx.ModelProto, borrowed: set[ir.Value]) -> None:
    """An output that is also an input or a weight, or an output twice, has two declarations.

    onnx-ir knows one for each value, the one that it reads last: the output's. The other
    one counts wherever the value is used, so it is given back, and the output's is kept aside.
    """
    for graph, old in pairs(model, proto):
        if isinstance(old, onnx.FunctionProto):
            continue
        home = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
        mine = {v.name: v for v in home if v in borrowed}
        for value in mine.values():
            tensor = value.const_value
            value.shape = None if tensor is None else tensor.shape  # type: ignore[assignment]
            value.type = None if tensor is None else ir.TensorType(tensor.dtype)
        for info in (*reversed(old.output), *old.value_info, *old.input):
            if info.name in mine:
                ir.serde.deserialize_value_info_proto(info, mine[info.name])
    for graph, old in pairs(model, proto):
        if isinstance(old, onnx.FunctionProto):
            continue
        for i, value in enumerate(graph.outputs):
            if value in borrowed:
                graph.meta[_META].outputs.append((i, ir.serde.serialize_value(value), old.output[i]))


# ---------------------------------------------------------------------------- mending


def mend(model: ir.Model, proto: onnx.ModelProto) -> None:
    """Undo in `proto`, as onnx-ir wrote it from `model`, what it added, and put back what it dropped."""
    for graph, new in pairs(model, proto):
        kept: Kept = graph.meta.get(_META) or Kept()
        for node, written in zip(graph, new.node, strict=True):
            if node.outputs and not node.outputs[-1].name:
                # Their number counts: Split and If have as many outputs as they have names, empty ones too.
                written.output.extend([""] * (len(node.outputs) - len(written.output)))
        if isinstance(new, onnx.GraphProto):
            _mend_graph(graph, new, kept)
        _put_back(new, kept.infos)


def _mend_graph(graph: ir.Graph, new: onnx.GraphProto, kept: Kept) -> None:
    for i, written, original in kept.outputs:
        if i < len(new.output) and new.output[i] == written:
            new.output[i].CopyFrom(original)
    # onnx-ir describes every weight, which says no more than the weight itself.
    idle = {
        name
        for name, value in graph.initializers.items()
        if name not in kept.described and not value.metadata_props and not value.doc_string
    }
    infos = [v for v in new.value_info if v.name not in idle]
    if len(infos) < len(new.value_info):
        _refill(new.value_info, infos)
    if kept.annotations or new.quantization_annotation:
        by_name = {a.tensor_name: a for a in (*new.quantization_annotation, *kept.annotations)}
        _refill(new.quantization_annotation, list(by_name.values()))


def _put_back(new: onnx.GraphProto | onnx.FunctionProto, infos: list[_Info]) -> None:
    if not infos:
        return
    ports = {v if isinstance(v, str) else v.name for v in (*new.input, *new.output)}
    taken = {name for node in new.node for name in node.output} - ports
    taken.update(info.name for info in new.value_info)
    new.value_info.extend(i.proto for i in infos if i.proto.name not in taken and i.holds())


def _refill(field: Any, messages: list[Any]) -> None:
    del field[:]
    field.extend(messages)


def pairs(model: ir.Model, proto: onnx.ModelProto) -> Iterator[tuple[ir.Graph, onnx.GraphProto | onnx.FunctionProto]]:
    """Every graph of `model` beside its message in `proto`; the two have the same nodes in order."""
    yield from _pairs(model.graph, proto.graph)
    for function, message in zip(model.functions.values(), proto.functions, strict=True):
        yield from _pairs(function.graph, message)


def _pairs(
    graph: ir.Graph, message: onnx.GraphProto | onnx.FunctionProto
) -> Iterator[tuple[ir.Graph, onnx.GraphProto | onnx.FunctionProto]]:
    yield graph, message
    for i, node in enumerate(graph):
        if node.attributes and (graphs := subgraphs(node)):
            for one, other in zip(graphs, proto_subgraphs(message.node[i]), strict=True):
                yield from _pairs(one, other)
