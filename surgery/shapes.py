"""Shapes and dtypes of values, inferred when the first is asked for.

Inference is onnx's own, on the graph without its large weights. What it finds is kept
beside the model, not in it: a model gains no value_info by being looked at.
"""

from __future__ import annotations

import math
from collections import ChainMap
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from surgery.model import skeleton
from surgery.nested import functions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence

Dims = tuple[int | str | None, ...]
_Type = tuple[np.dtype | None, Dims | None]
_Types = dict[str, _Type]
_UNKNOWN: _Type = (None, None)
_ERRORS = (onnx.shape_inference.InferenceError, onnx.defs.SchemaError, ValueError, RuntimeError, TypeError)


class Shapes:
    """Dtype and shape of every value of a model that is a tensor.

    `forget` is called after the graph has changed; the next question infers anew.
    """

    def __init__(self, model: ir.Model, constant: Callable[[ir.Value], ir.TensorProtocol | None]) -> None:
        self._model = model
        self._constant = constant  # what a value always is: dims may depend on it
        self._inferred: dict[ir.Graph, _Types] | None = None
        self._imports: dict[ir.Graph, Mapping[str, int]] = {}  # of the graphs inside functions
        self._learned: dict[ir.Value, _Type] = {}
        self._noted: dict[ir.Value, ir.DataType] = {}

    def forget(self) -> None:
        """Drop what was inferred."""
        self._inferred = None
        self._learned.clear()
        self._noted.clear()

    def dtype(self, value: ir.Value) -> np.dtype | None:
        """The numpy dtype of a tensor (ml_dtypes for bfloat16, float8 and int4); None if unknown or no tensor."""
        known = self.element(value)
        if known is not None:
            return _numpy(known)
        return self._look(value)[0] if _may_be_tensor(value) else None

    def shape(self, value: ir.Value) -> Dims | None:
        """The dims of a tensor: int, the name of a symbol, or None; None if the rank is unknown."""
        if value.const_value is not None:
            return tuple(value.const_value.shape.numpy())
        if not _may_be_tensor(value):
            return None
        declared = None if value.shape is None else _dims(value.shape)
        if declared is not None and all(isinstance(d, int) for d in declared):
            return declared
        found = self._look(value)[1]
        if found is None or declared is None or len(found) != len(declared):
            return found if declared is None else declared
        return tuple(f if isinstance(f, int) else d for d, f in zip(declared, found, strict=True))

    def element(self, value: ir.Value) -> ir.DataType | None:
        """The element type of a tensor as far as it can be told without inference."""
        if value.const_value is not None:
            return value.const_value.dtype
        kind = value.type
        # Of None, isinstance would ask the protocol that TensorType has: most of what a new value costs here.
        if kind is not None and isinstance(kind, ir.TensorType) and kind.dtype != ir.DataType.UNDEFINED:
            return kind.dtype
        return self._noted.get(value)

    def note(self, node: ir.Node) -> None:
        """Learn the element types of a new node's outputs from its operator's type variables alone."""
        sources = _sources(node.op_type, node.version or 1, node.domain)
        for i, value in enumerate(node.outputs if sources else ()):
            kind = sources[min(i, len(sources) - 1)]
            if kind is None and node.op_type == "Cast":
                kind = ir.DataType(node.attributes["to"].as_int())
            elif not isinstance(kind, ir.DataType | None):
                given = node.inputs[kind] if kind < len(node.inputs) else None
                kind = None if given is None else self.element(given)
            if kind is not None:
                self._noted[value] = kind

    def _look(self, value: ir.Value) -> _Type:
        """What inference finds, of the whole model or, where that tells nothing, of the nodes before `value`."""
        found = self._found(value)
        if found is None:
            producer = value.producer()
            if producer is not None:
                self._learn(producer)
            found = self._learned.setdefault(value, _UNKNOWN)
        return found

    def _found(self, value: ir.Value) -> _Type | None:
        """What is known of `value`; None if inference of the whole model tells nothing of it."""
        if value in self._learned:
            return self._learned[value]
        if value.graph is None:  # made just now, not yet in the graph
            return None
        if self._inferred is None:
            self._inferred = _infer(self._model)
            self._imports = {graph: function.opset_imports for graph, function in functions(self._model).items()}
        return self._inferred.get(value.graph, {}).get(value.name or "")

    def _learn(self, last: ir.Node) -> None:
        """Infer the outputs of one node, and before it those of the nodes that it depends on."""
        stack, seen = [last], {last}
        while stack:
            node = stack[-1]
            waiting = []
            for value in node.inputs:
                producer = None if value is None else value.producer()
                if value is None or producer is None or producer in seen or self._found(value) is not None:
                    continue
                waiting.append(producer)
                seen.add(producer)
            if waiting:
                stack += waiting
                continue
            stack.pop()
            for value in node.outputs:
                self._learned.setdefault(value, _UNKNOWN)
            self._learned |= self._infer_one(node)

    def _infer_one(self, node: ir.Node) -> dict[ir.Value, _Type]:
        imports: Mapping[str, int] = self._model.opset_imports
        if node.graph is not None:
            imports = self._imports.get(node.graph, imports)
        opset = node.version or imports.get(node.domain, 1)
        try:
            schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
            types, data = {}, {}
            for value in node.inputs:
                if value is None:
                    continue
                dtype, shape = self.dtype(value), self.shape(value)
                if dtype is None:
                    return {}
                name = value.name or ""
                types[name] = onnx.helper.make_tensor_type_proto(ir.DataType.from_numpy(dtype).value, shape)
                tensor = self._constant(value)
                if tensor is not None and tensor.size <= 64:
                    data[name] = ir.to_proto(tensor)
            found = onnx.shape_inference.infer_node_outputs(
                schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid("", opset)]
            )
        except _ERRORS:
            return {}
        return {value: _from_proto(found[value.name]) for value in node.outputs if value.name in found}


@cache
def _sources(op_type: str, opset: int, domain: str) -> tuple[ir.DataType | int | None, ...]:
    """For every output of an operator its element type, or the input that it has it from."""
    try:
        schema = onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return ()
    first: dict[str, int] = {}
    for i, formal in enumerate(schema.inputs):
        if all(kind.startswith("tensor(") for kind in formal.types):
            first.setdefault(formal.type_str, i)
    found: list[ir.DataType | int | None] = []
    for formal in schema.outputs:
        kinds = list(formal.types)
        if len(kinds) == 1 and kinds[0].startswith("tensor("):
            found.append(ir.DataType[kinds[0][len("tensor(") : -1].upper()])
        else:
            found.append(first.get(formal.type_str))
    if found and not schema.outputs[-1].is_homogeneous:
        found[-1] = None
    return tuple(found)


def _infer(model: ir.Model) -> dict[ir.Graph, _Types]:
    proto = _run(skeleton(model))
    found: dict[ir.Graph, _Types] = {}
    _collect(proto.graph, model.graph, found)
    if proto.functions:
        _infer_functions(proto, model, found)
    return found


def _run(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto` with what onnx infers; as it is where a single node keeps onnx from inferring anything."""
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except _ERRORS:
        pass
    # A domain that is used and not imported is enough, and placeholders of exporters often are.
    imported = {o.domain for o in proto.opset_import}
    missing = {node.domain for node in proto.graph.node} - imported - {"", "ai.onnx"}
    proto.opset_import.extend(onnx.helper.make_opsetid(domain, 1) for domain in sorted(missing))
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True) if missing else proto
    except _ERRORS:
        return proto


def _collect(proto: onnx.GraphProto, graph: ir.Graph, found: dict[ir.Graph, _Types]) -> None:
    """Note what `proto` says of every value of `graph`, from which it was made, and of the graphs within."""
    types = {v.name: _from_proto(v.type) for v in (*proto.input, *proto.value_info, *proto.output)}
    types |= {t.name: (_numpy(ir.DataType(t.data_type)), tuple(t.dims)) for t in proto.initializer}
    found[graph] = {name: kind for name, kind in types.items() if kind != _UNKNOWN}
    for outer, inner in _within(zip(proto.node, graph, strict=True)):
        _collect(outer, inner, found)


def _within(nodes: Any) -> Iterator[tuple[onnx.GraphProto, ir.Graph]]:
    """The graphs that pairs of nodes, as proto and in onnx-ir, hold."""
    for proto, node in nodes:
        for attribute in proto.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH and not attribute.ref_attr_name:
                yield attribute.g, node.attributes[attribute.name].as_graph()
            elif attribute.type == onnx.AttributeProto.GRAPHS and not attribute.ref_attr_name:
                yield from zip(attribute.graphs, node.attributes[attribute.name].as_graphs(), strict=True)


def _infer_functions(proto: onnx.ModelProto, model: ir.Model, found: dict[ir.Graph, _Types]) -> None:
    """Types inside functions, where all calls agree on those of the arguments.

    onnx infers through a function but keeps nothing of its inside. A body is inferred as
    a graph of its own, outermost functions first, so that calls within are known in turn.
    """
    functions = {(f.domain, f.name, f.overload): f for f in proto.functions}
    waiting = list(_calls(zip(proto.graph.node, model.graph, strict=True), found[model.graph], functions, found))
    while waiting:
        key = _callee(waiting[0][0])
        calls = [(call, types) for call, types in waiting if _callee(call) == key]
        waiting = [(call, types) for call, types in waiting if _callee(call) != key]
        body = model.functions[key].graph
        if body in found:
            continue
        function = functions[key]
        made = _run(_as_model(function, calls, proto))
        _collect(made.graph, body, found)
        waiting += _calls(zip(function.node, body, strict=True), found[body], functions, found)


def _as_model(
    function: onnx.FunctionProto,
    calls: Sequence[tuple[onnx.NodeProto, Mapping[str, _Type]]],
    model: onnx.ModelProto,
) -> onnx.ModelProto:
    """The body of a function, with the types and attributes that all calls agree on."""
    graph = onnx.GraphProto(name=function.name)
    for i, name in enumerate(function.input):
        dtype, shape = _common([types.get(c.input[i] if i < len(c.input) else "", _UNKNOWN) for c, types in calls])
        if dtype is not None:
            kind = ir.DataType.from_numpy(dtype).value
            graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    graph.node.extend(function.node)
    defaults = {a.name: a for a in function.attribute_proto}
    given = [{**defaults, **{a.name: a for a in call.attribute}} for call, _ in calls]
    for node in graph.node:
        for attribute in [a for a in node.attribute if a.ref_attr_name]:
            name, value = attribute.name, given[0].get(attribute.ref_attr_name)
            if value is not None and all(g.get(attribute.ref_attr_name) == value for g in given):
                attribute.CopyFrom(value)
                attribute.name = name
            else:
                node.attribute.remove(attribute)
    return onnx.ModelProto(
        ir_version=model.ir_version, graph=graph, opset_import=function.opset_import, functions=model.functions
    )


def _calls(
    nodes: Any,
    visible: MutableMapping[str, _Type],
    functions: Mapping[tuple[str, str, str], onnx.FunctionProto],
    found: dict[ir.Graph, _Types],
) -> Iterator[tuple[onnx.NodeProto, MutableMapping[str, _Type]]]:
    """Every call of a function, with the types of what is seen from there."""
    for proto, node in nodes:
        if _callee(proto) in functions:
            yield proto, visible
        for inner, graph in _within([(proto, node)]):
            here = ChainMap(found.get(graph, {}), visible)
            yield from _calls(zip(inner.node, graph, strict=True), here, functions, found)


def _callee(node: onnx.NodeProto) -> tuple[str, str, str]:
    return node.domain, node.op_type, node.overload


def _common(types: list[_Type]) -> _Type:
    dtype, shape = types[0]
    for other, dims in types[1:]:
        dtype = dtype if other == dtype else None
        if shape is None or dims is None or len(shape) != len(dims):
            shape = None
        else:
            shape = tuple(a if a == b else None for a, b in zip(shape, dims, strict=True))
    return dtype, shape


def _from_proto(proto: onnx.TypeProto) -> _Type:
    if not proto.HasField("tensor_type"):
        return _UNKNOWN
    tensor = proto.tensor_type
    dtype = _numpy(ir.DataType(tensor.elem_type)) if tensor.elem_type else None
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or None for d in tensor.shape.dim
    )


def count(dims: Dims | None) -> int | None:
    """The number of elements; None if a dim, or all of them, are not known as numbers."""
    numbers = [d for d in dims or () if isinstance(d, int)]
    return math.prod(numbers) if dims is not None and len(numbers) == len(dims) else None


def _may_be_tensor(value: ir.Value) -> bool:
    return value.type is None or isinstance(value.type, ir.TensorType)


def _dims(shape: ir.Shape) -> Dims:
    return tuple((d if d >= 0 else None) if isinstance(d, int) else d.value for d in shape)


def _numpy(dtype: ir.DataType) -> np.dtype | None:
    try:
        return np.dtype(dtype.numpy())
    except TypeError:  # undefined
        return None
