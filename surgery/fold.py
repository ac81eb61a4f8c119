"""Evaluate nodes whose inputs are all constant, on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from surgery.protos import RANDOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# A constant that came out larger than this was not worth folding: 16 Mi elements.
MOST_ELEMENTS = 1 << 24
# A message can't hold more than 2 GB.
MOST_BYTES = 1 << 30


def constant(value: ir.Value, ir_version: int | None = None) -> ir.TensorProtocol | None:
    """The tensor that `value` always is: an initializer's or a ``Constant`` node's.

    Args:
        value: any value.
        ir_version: the model's. From 4 on, an initializer that is an input of the graph too
            is a default, which a caller may replace; before, it had to be one.
    """
    if value.const_value is not None:
        return None if value.is_graph_input() and (ir_version or 4) >= 4 else value.const_value
    producer = value.producer()
    if producer is None or producer.op_type != "Constant" or producer.domain != "":
        return None
    if len(producer.attributes) != 1 or any(a.is_ref() for a in producer.attributes.values()):
        return None  # unsound, or what the caller of a function says
    if "value" in producer.attributes:
        # onnx-ir would name the tensor after the value, which edits the model.
        return producer.attributes["value"].as_tensor()
    return ir.convenience.get_const_tensor(value)


def foldable(node: ir.Node) -> bool:
    """Whether a node of constant inputs is itself constant: standard, not random, without sub-graphs."""
    return (
        node.domain == ""
        and node.op_type not in RANDOM
        and all(a.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())
        and not any(a.is_ref() for a in node.attributes.values())
    )


def cone(
    values: Iterable[ir.Value],
    known: Callable[[ir.Value], ir.TensorProtocol | None],
    maker: Callable[[ir.Value], ir.Node | None],
    most: int | None = None,
) -> tuple[list[ir.Node], dict[ir.Value, ir.TensorProtocol]] | None:
    """The nodes that `values` come from, in topological order, and the constants that these read.

    Args:
        values: what is to be computed.
        known: the tensor that a value always is, where that is at hand.
        maker: the node that a value is to be computed by; None if it can't be.
        most: how many nodes, about, there may be.

    Returns:
        What `evaluate` takes; None if some value is neither known nor computed, or there are more nodes.
    """
    nodes: dict[ir.Node, None] = {}
    given: dict[ir.Value, ir.TensorProtocol] = {}
    stack: list[ir.Value | ir.Node] = list(values)
    while stack:
        top = stack.pop()
        if isinstance(top, ir.Node):  # all that it reads has been seen
            nodes[top] = None
            continue
        tensor = known(top)
        if tensor is not None:
            given[top] = tensor
            continue
        node = maker(top)
        if node is None or (most is not None and max(len(stack), len(nodes)) > most):
            return None
        if node not in nodes:
            stack.append(node)
            stack += [v for v in node.inputs if v is not None]
    return list(nodes), given


def evaluate(
    nodes: Sequence[ir.Node],
    given: Mapping[ir.Value, ir.TensorProtocol],
    wanted: Sequence[ir.Value],
    opset: int,
    ir_version: int,
) -> list[np.ndarray] | None:
    """Run `nodes`, standard ones in topological order, and return the values of `wanted`.

    Args:
        nodes: each reads values of `given` and outputs of earlier ones.
        given: the constants.
        wanted: outputs of the nodes.
        opset: the version of the standard operators.
        ir_version: the model's.

    Returns:
        The arrays, or None if the runtime can't, or if one would be absurdly large.
    """
    if sum(tensor.nbytes for tensor in given.values() if tensor.dtype != ir.DataType.STRING) > MOST_BYTES:
        return None
    model = _model(nodes, given, wanted, opset, ir_version)
    types = _types(model)
    if types is None:
        return None
    if len(nodes) > 1 and any(kind[1] is None for kind in types.values()):
        known = dict(given)  # one by one: the inputs of a node then tell how large its outputs will be
        for node in nodes:
            outputs = [v for v in node.outputs if v.name]
            inputs = {v: known[v] for v in node.inputs if v is not None}
            results = evaluate([node], inputs, outputs, opset, ir_version)
            if results is None:
                return None
            known |= {v: ir.tensor(array) for v, array in zip(outputs, results, strict=True)}
        return [known[v].numpy() for v in wanted]
    if any(size is not None and size > MOST_ELEMENTS for _, size in types.values()):
        return None
    results = _run(model)
    if results is None:
        return None
    for value, result in zip(wanted, results, strict=True):
        # Of types that numpy lacks the runtime gives bytes, of sequences lists.
        element = types.get(value.name or "", (0, None))[0]
        if not isinstance(result, np.ndarray) or helper.np_dtype_to_tensor_dtype(result.dtype) != element:
            return None
    return results


def _model(
    nodes: Sequence[ir.Node],
    given: Mapping[ir.Value, ir.TensorProtocol],
    wanted: Sequence[ir.Value],
    opset: int,
    ir_version: int,
) -> onnx.ModelProto:
    graph = onnx.GraphProto(name="fold", node=[ir.to_proto(n) for n in nodes])
    for value, tensor in given.items():
        proto = graph.initializer.add()
        proto.CopyFrom(ir.to_proto(tensor))
        proto.name = value.name or ""
    graph.output.extend(onnx.ValueInfoProto(name=v.name) for v in wanted)
    imports = [helper.make_opsetid("", opset)]
    return onnx.ModelProto(ir_version=max(ir_version, 4), graph=graph, opset_import=imports)


def _types(model: onnx.ModelProto) -> dict[str, tuple[int, float | None]] | None:
    """Element type and number of elements of all that is computed; the number is None if it is not known."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return None
    found: dict[str, tuple[int, float | None]] = {
        name: (0, None) for node in model.graph.node for name in node.output if name
    }
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        tensor = info.type.tensor_type
        dims = [float(d.dim_value) if d.HasField("dim_value") else None for d in tensor.shape.dim]
        known = tensor.HasField("shape") and None not in dims
        found[info.name] = (tensor.elem_type, float(np.prod([d or 0.0 for d in dims])) if known else None)
    return found


def _run(model: onnx.ModelProto) -> list[Any] | None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results: list[Any] = session.run(None, {})
    except Exception:  # the runtime raises its own kinds; what can't be run is left as nodes
        return None
    return results
