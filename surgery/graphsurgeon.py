"""Run a pass that works on an ``onnx_graphsurgeon.Graph``, and keep what that library loses.

onnx-graphsurgeon 0.6.1 drops documentation, metadata, the meaning of dims, quantization
annotations and initializers that nothing reads. All this is carried over to what still has
its name afterwards. What can't be is refused before the pass runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from surgery.errors import Missing, Refused

if TYPE_CHECKING:
    from collections.abc import Callable


def run(model: ir.Model, apply: Callable[[Any], int]) -> tuple[ir.Model, int]:
    """Apply to `model` what edits a graph of onnx-graphsurgeon.

    Returns:
        The model that came of it, and what `apply` returned. With 0 it is the model given.

    Raises:
        Missing: onnx-graphsurgeon is not installed.
        Refused: the model holds what onnx-graphsurgeon does not read.
    """
    try:
        gs: Any = importlib.import_module("onnx_graphsurgeon")
    except ImportError as error:
        raise Missing(
            f"onnx-graphsurgeon can't be loaded: {error}", cure="pip install 'onnx-surgery[graphsurgeon]'"
        ) from error
    before = ir.to_proto(model)
    for value in (*before.graph.input, *before.graph.output):
        kind = value.type.WhichOneof("value")
        if kind not in ("tensor_type", "sequence_type", None):
            raise Refused(f"onnx-graphsurgeon does not read this model: {value.name!r} is of {kind}")
    try:
        graph = gs.import_onnx(before)
    except Exception as error:  # of its own, and of protobuf
        raise Refused(f"onnx-graphsurgeon does not read this model: {type(error).__name__}: {error}") from error
    places = apply(graph)
    if not places:
        return model, 0
    after = gs.export_onnx(graph)
    _carry_model(before, after)
    edited = ir.from_proto(after)
    edited.meta.update(model.meta)
    return edited, places


def _carry_model(old: onnx.ModelProto, new: onnx.ModelProto) -> None:
    graph = onnx.GraphProto()
    graph.CopyFrom(new.graph)
    imports = {o.domain: o.version for o in new.opset_import}
    functions = list(new.functions) or list(old.functions)
    new.CopyFrom(old)
    new.graph.CopyFrom(graph)
    del new.functions[:]
    new.functions.extend(functions)
    del new.opset_import[:]
    for o in old.opset_import:
        imports.setdefault(o.domain, o.version)
    new.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in imports.items())
    _carry_graph(old.graph, new.graph)


def _carry_graph(old: onnx.GraphProto, new: onnx.GraphProto) -> None:
    new.name, new.doc_string = old.name, old.doc_string
    del new.metadata_props[:]
    new.metadata_props.extend(old.metadata_props)
    made = {name for node in new.node for name in node.output}
    held = {t.name for t in new.initializer} | {v.name for v in new.input}
    for of_old, of_new in ((old.input, new.input), (old.output, new.output)):
        _carry_values({v.name: v for v in of_old}, of_new)
    _carry_values({v.name: v for v in (*old.value_info, *old.output)}, new.value_info)
    there = {v.name for v in (*new.value_info, *new.output)}
    new.value_info.extend(v for v in old.value_info if v.name in made and v.name not in there)
    tensors = {t.name: t for t in old.initializer}
    for tensor in new.initializer:
        if tensor.name in tensors:
            tensor.doc_string = tensors[tensor.name].doc_string
    used = {name for node in old.node for name in node.input} | {v.name for v in old.output}
    unused = [t for t in old.initializer if t.name not in used | held | made]
    new.initializer.extend(unused)
    known = made | held | {t.name for t in unused}
    del new.quantization_annotation[:]
    new.quantization_annotation.extend(a for a in old.quantization_annotation if a.tensor_name in known)
    nodes = {_key(node): node for node in old.node}
    for node in new.node:
        same = nodes.get(_key(node))
        if same is None:
            continue
        node.doc_string = same.doc_string
        del node.metadata_props[:]
        node.metadata_props.extend(same.metadata_props)
        attributes = {a.name: a for a in same.attribute}
        for attribute in node.attribute:
            if attribute.name in attributes:
                attribute.doc_string = attributes[attribute.name].doc_string
                if attribute.type == onnx.AttributeProto.GRAPH == attributes[attribute.name].type:
                    _carry_graph(attributes[attribute.name].g, attribute.g)


def _carry_values(old: dict[str, onnx.ValueInfoProto], new: Any) -> None:
    """Documentation, metadata and the meaning of dims."""
    for value in new:
        same = old.get(value.name)
        if same is None:
            continue
        value.doc_string = same.doc_string
        del value.metadata_props[:]
        value.metadata_props.extend(same.metadata_props)
        value.type.denotation = same.type.denotation
        dims, others = value.type.tensor_type.shape.dim, same.type.tensor_type.shape.dim
        if len(dims) == len(others):
            for dim, other in zip(dims, others, strict=True):
                dim.denotation = other.denotation


def _key(node: onnx.NodeProto) -> tuple[str, str, str, str]:
    return node.domain, node.op_type, node.name, node.output[0] if node.output else ""
