"""How older opsets spell what the newest one says.

`spell` is given an operator as its newest version has it. Where the model's opset knows
that version, or takes the same inputs and attributes, the node is emitted as it is.
Otherwise the entry of `OLDER` rewrites it, or the function body that the ONNX standard
gives for the operator, or it is refused.

Source: the operator schemas and changelog of onnx 1.23 (docs/Changelog.md).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import defs, helper

from surgery.errors import Refused
from surgery.older import BY_BODY, COUNTED, LATE, OLDER, constant, rank
from surgery.schemas import default, kinds, refusal, schema
from surgery.views import Skip

if TYPE_CHECKING:
    from surgery.older import Inputs
    from surgery.op import Op


def spell(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """The operator at the opset of `op`; see the module.

    Raises:
        Refused: it can't be said there.
    """
    for name, value, since in LATE.get(op_type, ()):
        if attributes.get(name) == value and op.opset < since:
            raise refusal(op_type, op.opset, since)
    if op.opset < 11:
        attributes = _from_the_front(op_type, inputs, attributes)
    for below, rule in OLDER.get(op_type, ()):
        if op.opset < below:
            result = rule(op, op_type, inputs, attributes, count)
            if result is not None:
                return result
    new = schema(op_type, None)
    assert new is not None
    kept = fitting(op_type, op.opset, inputs, attributes) if op.opset >= BY_BODY.get(op_type, 0) else None
    if kept is not None:
        return op.emit(op_type, inputs, kept, count)
    with contextlib.suppress(Refused):  # of an operator of the body: what was asked for is this one
        expanded = body(op, new, inputs, attributes, count)
        if expanded is not None:
            return expanded[0] if count == 1 else expanded[:count]
    later = range(op.opset + 1, new.since_version)
    able = (opset for opset in later if fitting(op_type, opset, inputs, attributes) is not None)
    raise refusal(op_type, op.opset, next(able, new.since_version))


def fitting(op_type: str, opset: int, inputs: Inputs, attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes with which the version at `opset` takes the same inputs; None if there are none."""
    old, new = schema(op_type, opset), schema(op_type, None)
    if old is None or new is None or old.deprecated:
        return None
    has = kinds(op_type, opset)
    # An attribute that the older version lacks can be left out if it has its default.
    kept = {k: v for k, v in attributes.items() if k in has or k not in kinds(op_type, None) or v != default(new, k)}
    given = max((i for i, x in enumerate(inputs, 1) if x is not None), default=0)
    return kept if kept.keys() <= has.keys() and given <= old.max_input else None


def body(op: Op, new: defs.OpSchema, inputs: Inputs, attributes: dict[str, Any], count: int) -> list[Any] | None:
    """The operator as the function that the standard defines it by, for want of a node."""
    function = _function(new, inputs, attributes, count)
    if function is None or any(a.HasField("g") for node in function.node for a in node.attribute):
        return None
    version = next((o.version for o in function.opset_import if o.domain == ""), new.since_version)
    named: dict[str, Any] = dict(zip(function.input, inputs, strict=False))
    for node in function.node:
        plain: dict[str, Any] = {}
        for attribute in node.attribute:
            name = attribute.ref_attr_name
            value = attributes.get(name, default(new, name)) if name else helper.get_attribute_value(attribute)
            if value is not None:
                plain[attribute.name] = value.decode() if isinstance(value, bytes) else value
        operands = [named.get(n) for n in node.input]
        if node.op_type == "CastLike" and operands[0] is not None and operands[1] is not None and operands[1].dtype:
            made = op.Cast(operands[0], to=operands[1].dtype)  # which folds, and which older compilers know
        else:
            made = _said(op, node.op_type, operands, plain, len(node.output), version)
        if made is None:
            return None
        named.update(zip(node.output, made if isinstance(made, list) else [made], strict=False))
    return [named.get(name) for name in function.output]


def _function(new: Any, inputs: Inputs, attributes: dict[str, Any], count: int) -> onnx.FunctionProto | None:
    if new.has_function:
        body: onnx.FunctionProto = new.function_body
        return body
    if not new.has_context_dependent_function:
        return None
    types = []
    for value in inputs:
        kind = onnx.TypeProto()
        if value is not None:
            if value.dtype is None:
                raise Skip(f"the element type of {value.name!r} is unknown")
            kind = helper.make_tensor_type_proto(_element(value.dtype), value.shape)
        types.append(kind.SerializeToString())
    names = ["" if value is None else f"i{i}" for i, value in enumerate(inputs)]
    node = helper.make_node(new.name, names, [f"o{i}" for i in range(count)], **attributes)
    version = new.context_dependent_function_opset_versions[-1]
    made = new.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), types)
    return onnx.FunctionProto.FromString(made) if made else None


def _said(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int, version: int) -> Any:
    """A node of a function body of opset `version`, which may be neither the newest nor the model's."""
    if op_type == "Constant":
        return constant(op, op_type, inputs, attributes, count)
    body, new = schema(op_type, version), schema(op_type, None)
    assert body is not None and new is not None
    if attributes.keys() <= kinds(op_type, None).keys() and len(inputs) <= new.max_input:
        return op.call(op_type, inputs, {**attributes, "outputs": count})
    kept = fitting(op_type, op.opset, inputs, attributes)
    return None if kept is None else op.emit(op_type, inputs, kept, count)


def _element(dtype: np.dtype) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def _from_the_front(op_type: str, inputs: Inputs, attributes: dict[str, Any]) -> dict[str, Any]:
    """Axes counted from the front: for most operators negative ones came with opset 11."""
    axis = attributes.get("axis")
    if op_type in COUNTED and isinstance(axis, int) and axis < 0:
        attributes = {**attributes, "axis": axis + rank(inputs[0])}
    return attributes
