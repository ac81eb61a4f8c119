"""Evaluate nodes whose inputs are all constant, on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A constant that came out larger than this was not worth folding: 16 Mi elements.
MOST_ELEMENTS = 1 << 24
_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def constant(value: ir.Value) -> ir.TensorProtocol | None:
    """The tensor that `value` always is: an initializer's or a ``Constant`` node's."""
    if value.const_value is not None:
        # An initializer that is a graph input too is a default, which a caller may replace.
        return None if value.is_graph_input() else value.const_value
    producer = value.producer()
    if producer is None or producer.op_type != "Constant" or producer.domain not in ("", "ai.onnx"):
        return None
    return ir.convenience.get_const_tensor(value)


def foldable(node: ir.Node) -> bool:
    """Whether a node of constant inputs is itself constant: standard, not random, without sub-graphs."""
    return (
        node.domain == ""
        and node.op_type not in _RANDOM
        and all(a.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())
        and not any(a.is_ref() for a in node.attributes.values())
    )


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
    import onnxruntime as ort

    graph = onnx.GraphProto(name="fold", node=[ir.to_proto(n) for n in nodes])
    for value, tensor in given.items():
        proto = graph.initializer.add()
        proto.CopyFrom(ir.to_proto(tensor))
        proto.name = value.name or ""
    graph.output.extend(onnx.ValueInfoProto(name=v.name) for v in wanted)
    imports = [onnx.helper.make_opsetid("", opset)]
    model = onnx.ModelProto(ir_version=max(ir_version, 4), graph=graph, opset_import=imports)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        for info in (*inferred.graph.value_info, *inferred.graph.output):
            dims = [d.dim_value for d in info.type.tensor_type.shape.dim if d.HasField("dim_value")]
            if np.prod([float(d) for d in dims]) > MOST_ELEMENTS:
                return None
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results: list[np.ndarray] = session.run(None, {})
    except Exception:  # the runtime raises its own kinds; what can't be run is left as nodes
        return None
    return results
