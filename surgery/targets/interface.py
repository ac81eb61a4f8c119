"""What conditions of rules can say of a model as a whole, of its inputs and its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from surgery.targets.scope import type_of


def ports(model: onnx.ModelProto) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The model's inputs and outputs, those that are stored left out.

    Each has ``name``, ``dtype``, ``shape`` and ``rank`` as they are declared; ``is_const`` and ``is_input`` tell
    whether it is a plain copy of what is stored, or of an input, ``is_twin`` whether an output is one of what another
    is, too; ``maker`` is the operator that gives it.
    """
    stored = {t.name for t in model.graph.initializer}
    inputs = {v.name for v in model.graph.input if v.name not in stored}
    makers = {name: node for node in model.graph.node for name in node.output}
    origins = [_origin(value.name, makers) for value in model.graph.output]
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for group, values in zip(found, (model.graph.input, model.graph.output), strict=True):
        for value in values:
            if value.name in stored and values is model.graph.input:
                continue
            dtype, shape = (None, None)
            if value.type.WhichOneof("value") == "tensor_type":
                dtype, shape = type_of(value.type.tensor_type)
            origin = _origin(value.name, makers)
            group.append(
                {
                    "name": value.name,
                    "dtype": dtype,
                    "shape": shape,
                    "rank": None if shape is None else len(shape),
                    "is_const": origin in stored or (origin in makers and makers[origin].op_type == "Constant"),
                    "is_input": origin in inputs,
                    "is_twin": origins.count(origin) > 1,
                    "maker": makers[value.name].op_type if value.name in makers else "",
                }
            )
    return found


def negative_dims(model: onnx.ModelProto) -> bool:
    """Whether dims are declared as negative numbers, as Paddle2ONNX's optimiser does."""
    graph = model.graph
    return any(
        d.HasField("dim_value") and d.dim_value < 0
        for v in (*graph.input, *graph.output, *graph.value_info)
        for d in v.type.tensor_type.shape.dim
    )


def _origin(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """What a value is a plain copy of."""
    seen = set()
    while name in makers and makers[name].op_type in ("Identity", "Dropout") and name not in seen:
        seen.add(name)
        name = makers[name].input[0]
    return name
