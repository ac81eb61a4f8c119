"""Shapes and dtypes of values, inferred when the first is asked for.

Inference is onnx's own, on the graph without its large weights. What it finds is kept
beside the model, not in it: a model gains no value_info by being looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from surgery.model import skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Dims = tuple[int | str | None, ...]
_Type = tuple[np.dtype | None, Dims | None]
_Scope = tuple[str, str]  # domain and name of a function: names of values are its own
_MAIN: _Scope = ("", "")


class Shapes:
    """Dtype and shape of every value of a model.

    `forget` is called after the graph has changed; the next question infers anew.
    """

    def __init__(self, model: ir.Model, constant: Callable[[ir.Value], ir.TensorProtocol | None]) -> None:
        self._model = model
        self._constant = constant  # what a value always is: dims may depend on it
        self._inferred: dict[_Scope, dict[str, _Type]] | None = None
        self._scopes: dict[ir.Graph, _Scope] = {}  # the graphs inside functions
        self._local: dict[ir.Value, _Type] = {}

    def forget(self) -> None:
        """Drop what was inferred."""
        self._inferred = None
        self._local.clear()

    def dtype(self, value: ir.Value) -> np.dtype | None:
        """The numpy dtype of a tensor (ml_dtypes for bfloat16, float8 and int4); None if unknown."""
        if value.dtype is not None:
            return _numpy(value.dtype)
        if value.const_value is not None:
            return _numpy(value.const_value.dtype)
        return self._look(value)[0]

    def shape(self, value: ir.Value) -> Dims | None:
        """The dims of a tensor: int, the name of a symbol, or None; None if the rank is unknown."""
        if value.const_value is not None:
            return tuple(value.const_value.shape.numpy())
        declared = None if value.shape is None else _dims(value.shape)
        if declared is not None and all(isinstance(d, int) for d in declared):
            return declared
        found = self._look(value)[1]
        if found is None or declared is None or len(found) != len(declared):
            return found if declared is None else declared
        return tuple(f if isinstance(f, int) else d for d, f in zip(declared, found, strict=True))

    def _learn(self, node: ir.Node) -> None:
        """Infer the outputs of one node from its inputs."""
        opset = node.version or 1
        try:
            schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
            types, data = {}, {}
            for value in node.inputs:
                if value is None:
                    continue
                dtype, shape = self.dtype(value), self.shape(value)
                if dtype is None:
                    return
                types[value.name or ""] = onnx.helper.make_tensor_type_proto(
                    ir.DataType.from_numpy(dtype).value, shape
                )
                tensor = self._constant(value)
                if tensor is not None and tensor.size <= 64:
                    data[value.name or ""] = ir.to_proto(tensor)
            found = onnx.shape_inference.infer_node_outputs(
                schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid("", opset)]
            )
        except (onnx.shape_inference.InferenceError, onnx.defs.SchemaError, ValueError, RuntimeError):
            return
        for value in node.outputs:
            if value.name in found:
                self._local[value] = _from_proto(found[value.name])

    def _look(self, value: ir.Value) -> _Type:
        if value in self._local:
            return self._local[value]
        producer = value.producer()
        if producer is not None and producer.graph is None:  # made just now, not yet in the graph
            self._learn(producer)
            return self._local.setdefault(value, (None, None))
        if self._inferred is None:
            self._inferred = _infer(self._model)
            self._scopes = {
                graph: (function.domain, function.name)
                for function in self._model.functions.values()
                for graph in (function.graph, *function.subgraphs())
            }
        scope = self._scopes.get(value.graph, _MAIN) if value.graph is not None else _MAIN
        return self._inferred.get(scope, {}).get(value.name or "", (None, None))


def _infer(model: ir.Model) -> dict[_Scope, dict[str, _Type]]:
    proto = skeleton(model)
    try:
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    found = {_MAIN: _collect(proto.graph, {})}
    if proto.functions:
        _infer_functions(proto, found)
    return found


def _collect(graph: onnx.GraphProto, found: dict[str, _Type]) -> dict[str, _Type]:
    for info in (*graph.input, *graph.value_info, *graph.output):
        found[info.name] = _from_proto(info.type)
    for node in graph.node:
        for attribute in node.attribute:
            for sub in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                _collect(sub, found)
    return found


_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def _infer_functions(model: onnx.ModelProto, found: dict[_Scope, dict[str, _Type]]) -> None:
    """Types inside functions, where all calls agree on those of the arguments.

    onnx infers through a function but keeps nothing of its inside. A body is inferred as
    a graph of its own, outermost functions first, so that calls within are known in turn.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    waiting = [(call, found[_MAIN]) for call in _calls(model.graph.node, functions)]
    while waiting:
        key = (waiting[0][0].domain, waiting[0][0].op_type)
        calls = [(c, types) for c, types in waiting if (c.domain, c.op_type) == key]
        waiting = [(c, types) for c, types in waiting if (c.domain, c.op_type) != key]
        if key in found:
            continue
        function = functions[key]
        graph = onnx.GraphProto(name=function.name)
        for i, name in enumerate(function.input):
            dtype, shape = _common(
                [types.get(c.input[i], (None, None)) if i < len(c.input) else (None, None) for c, types in calls]
            )
            if dtype is not None:
                kind = ir.DataType.from_numpy(dtype).value
                graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
        graph.node.extend(function.node)
        for node in graph.node:
            for attribute in [a for a in node.attribute if a.ref_attr_name]:
                given = [next((a for a in c.attribute if a.name == attribute.ref_attr_name), None) for c, _ in calls]
                value = given[0]
                name = attribute.name
                node.attribute.remove(attribute)
                if value is not None and all(g == value for g in given):
                    node.attribute.add().CopyFrom(value)
                    node.attribute[-1].name = name
        body = onnx.ModelProto(ir_version=model.ir_version, graph=graph, opset_import=function.opset_import)
        try:
            body = onnx.shape_inference.infer_shapes(body, data_prop=True)
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
            pass  # what is declared is known still
        found[key] = _collect(body.graph, {})
        waiting += [(call, found[key]) for call in _calls(function.node, functions)]


def _calls(nodes: object, functions: dict[tuple[str, str], onnx.FunctionProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:  # type: ignore[attr-defined]
        if (node.domain, node.op_type) in functions:
            yield node
        for attribute in node.attribute:
            for sub in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                yield from _calls(sub.node, functions)


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
        return None, None
    tensor = proto.tensor_type
    dtype = _numpy(ir.DataType(tensor.elem_type)) if tensor.elem_type else None
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or None for d in tensor.shape.dim
    )


def _dims(shape: ir.Shape) -> Dims:
    return tuple((d if d >= 0 else None) if isinstance(d, int) else d.value for d in shape)


def _numpy(dtype: ir.DataType) -> np.dtype | None:
    try:
        return np.dtype(dtype.numpy())
    except TypeError:  # undefined
        return None

