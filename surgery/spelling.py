"""How older opsets spell what the newest one says.

`spell` is given an operator as its newest version has it. Where the model's opset knows
that version, or takes the same inputs and attributes, the node is emitted as it is.
Otherwise the entry of `OLDER` rewrites it, or the function body that the ONNX standard
gives for the operator, or it is refused.

Source: the operator schemas and changelog of onnx 1.23 (docs/Changelog.md).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import defs

from surgery.errors import Refused
from surgery.views import Skip

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from surgery.op import Op
    from surgery.views import Value

    Inputs = list[Value | None]
    Rule = Callable[[Op, str, Inputs, dict[str, Any], int], Any]


def spell(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """The operator at the opset of `op`; see the module.

    Raises:
        Refused: it can't be said there.
    """
    for below, rule in OLDER.get(op_type, ()):
        if op.opset < below:
            result = rule(op, op_type, inputs, attributes, count)
            if result is not None:
                return result
    old, new = schema(op_type, op.opset), schema(op_type, None)
    assert new is not None
    if old is not None:
        # An attribute that the older version lacks can be left out if it has its default.
        kept = {
            k: v
            for k, v in attributes.items()
            if k in old.attributes or k not in new.attributes or v != _default(new, k)
        }
        given = sum(1 for x in inputs if x is not None)
        if old.since_version == new.since_version or (set(kept) <= set(old.attributes) and given <= old.max_input):
            return op.emit(op_type, inputs, kept, count)
    expanded = _body(op, new, inputs, attributes)
    if expanded is not None:
        return expanded[0] if count == 1 else expanded[:count]
    raise Refused(
        f"{op_type} as it is needed here can't be written at opset {op.opset}",
        cure=f"convert the model to opset {new.since_version} or newer first",
    )


@cache
def schema(op_type: str, opset: int | None) -> defs.OpSchema | None:
    """The schema of a standard operator at an opset, or its newest."""
    try:
        return defs.get_schema(op_type, "") if opset is None else defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return None


@cache
def parameters(op_type: str) -> list[tuple[str, np.dtype | None]]:
    """For every formal input its type variable, and the dtype where only one is meant."""
    newest = schema(op_type, None)
    found: list[tuple[str, np.dtype | None]] = []
    for formal in newest.inputs if newest else ():
        integers = formal.types <= {"tensor(int64)", "tensor(int32)"}
        found.append((formal.type_str, np.dtype(np.int64) if integers else None))
    return found


@cache
def types(op_type: str, opset: int) -> list[set[str]]:
    """For every formal input the types that it takes at an opset."""
    found = schema(op_type, opset)
    return [set(formal.types) for formal in found.inputs] if found else []


@cache
def outputs(op_type: str) -> int:
    """How many outputs an operator has that leaves none of them open."""
    newest = schema(op_type, None)
    return max(newest.min_output, 1) if newest else 1


@cache
def type_name(dtype: ir.DataType) -> str:
    """A dtype as schemas write it, ``float16`` in ``tensor(float16)``."""
    return onnx.TensorProto.DataType.Name(dtype.value).lower()


def _default(found: defs.OpSchema, name: str) -> Any:
    value = found.attributes[name].default_value
    if value.type == onnx.AttributeProto.UNDEFINED:
        return None
    plain = onnx.helper.get_attribute_value(value)
    return plain.decode() if isinstance(plain, bytes) else plain


def _body(op: Op, new: defs.OpSchema, inputs: Inputs, attributes: dict[str, Any]) -> list[Any] | None:
    """The operator as the function that the standard defines it by, for want of a node."""
    if not new.has_function or op.opset >= new.since_version:
        return None
    function = new.function_body
    named: dict[str, Any] = dict(zip(function.input, inputs, strict=False))
    for node in function.node:
        plain: dict[str, Any] = {}
        for attribute in node.attribute:
            name = attribute.ref_attr_name
            if name:
                value = attributes.get(name, _default(new, name))
            else:
                value = onnx.helper.get_attribute_value(attribute)
            plain[attribute.name] = value.decode() if isinstance(value, bytes) else value
        if node.op_type == "Constant":
            ((kind, value),) = plain.items()
            dtype = {"value_float": np.float32, "value_int": np.int64}.get(kind)
            array = onnx.numpy_helper.to_array(value) if kind == "value" else np.asarray(value, dtype)
            results: Any = op.constant(array)
        else:
            results = op.call(node.op_type, [named.get(n) for n in node.input], plain)
        results = results if isinstance(results, list) else [results]
        named.update(zip(node.output, results, strict=False))
    return [named[name] for name in function.output]


# ------------------------------------------------------------------------------ rules


def _need(value: Value | None, op_type: str, name: str) -> np.ndarray:
    """A constant operand, for a version that has it as an attribute."""
    array = None if value is None else value.constant
    if array is None:
        raise Refused(f"{op_type} needs constant {name} at this opset")
    return array


def _operand(inputs: Inputs, index: int) -> Value | None:
    return inputs[index] if index < len(inputs) else None


def _axes(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Axes were an attribute: Squeeze, Unsqueeze, ReduceSum before 13, other reductions before 18."""
    axes = _operand(inputs, 1)
    if axes is None:
        if attributes.pop("noop_with_empty_axes", 0):
            return op.Identity(inputs[0])
        return op.emit(op_type, inputs[:1], attributes, count)
    listed = [int(a) for a in _need(axes, op_type, "axes").ravel()]
    if not listed and attributes.get("noop_with_empty_axes", 0):
        return op.Identity(inputs[0])
    attributes = {k: v for k, v in attributes.items() if k != "noop_with_empty_axes"}
    if op.opset < 11 and any(a < 0 for a in listed):  # negative axes came with opset 11
        rank = _rank(inputs[0]) + (len(listed) if op_type == "Unsqueeze" else 0)
        listed = [a % rank for a in listed]
    return op.emit(op_type, inputs[:1], {**attributes, "axes": listed}, count)


def _rank(value: Value | None) -> int:
    shape = None if value is None else value.shape
    if shape is None:
        raise Skip(f"the rank of {value.name!r} is unknown" if value is not None else "an operand is absent")
    return len(shape)


def _split(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """num_outputs came with 18, sizes as an input with 13."""
    sizes = _operand(inputs, 1)
    attributes = {k: v for k, v in attributes.items() if k != "num_outputs"}
    if sizes is None:
        shape = inputs[0].shape if inputs[0] is not None else None
        dim = None if shape is None else shape[attributes.get("axis", 0)]
        if not isinstance(dim, int) or dim % count == 0:
            return op.emit(op_type, inputs[:1], attributes, count)  # equal parts need not be said
        part = -(-dim // count)
        sizes = op.constant([part] * (count - 1) + [dim - part * (count - 1)], np.int64)
    if op.opset < 13:
        listed = [int(s) for s in _need(sizes, op_type, "sizes")]
        return op.emit(op_type, inputs[:1], {**attributes, "split": listed}, count)
    return op.emit(op_type, [inputs[0], sizes], attributes, count)


def _clip(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Bounds were attributes before 11; integers came with 12."""
    low, high = _operand(inputs, 1), _operand(inputs, 2)
    dtype = inputs[0].dtype if inputs[0] is not None else None
    if dtype is not None and dtype.kind in "iu":
        x = inputs[0]
        if low is not None:
            x = op.Where(op.Less(x, low), low, x)
        if high is not None:
            x = op.Where(op.Greater(x, high), high, x)
        return x
    if op.opset >= 11:
        return None
    bounds = {"min": low, "max": high}
    plain = {k: float(_need(v, op_type, k)) for k, v in bounds.items() if v is not None}
    return op.emit(op_type, inputs[:1], {**attributes, **plain}, count)


def _extremum(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Max and Min of integers came with 12."""
    dtype = next((v.dtype for v in inputs if v is not None and v.dtype is not None), None)
    if dtype is None or dtype.kind not in "iu":
        return None
    best = inputs[0]
    for other in inputs[1:]:
        first = op.Greater(best, other) if op_type == "Max" else op.Less(best, other)
        best = op.Where(first, best, other)
    return best


def _relu(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Relu of integers came with 14."""
    dtype = inputs[0].dtype if inputs[0] is not None else None
    return op.Max(inputs[0], 0) if dtype is not None and dtype.kind == "i" else None


def _compare(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """GreaterOrEqual and LessOrEqual came with 12. (Not Less would be true of NaN.)"""
    strict = op.Greater(*inputs) if op_type == "GreaterOrEqual" else op.Less(*inputs)
    return op.Or(strict, op.Equal(*inputs))


def _equal(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Equal of floats came with 11."""
    dtype = next((v.dtype for v in inputs if v is not None and v.dtype is not None), None)
    if dtype is None or dtype.kind != "f":
        return None
    ordered = op.Not(op.Or(op.Less(*inputs), op.Greater(*inputs)))
    return op.And(ordered, op.Not(op.Or(op.IsNaN(inputs[0]), op.IsNaN(inputs[1]))))


def _pad(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Axes came with 18; pads and value were attributes before 11."""
    axes = _operand(inputs, 3)
    if axes is not None:
        rank, listed = _rank(inputs[0]), _need(axes, op_type, "axes")
        some, pads = _need(inputs[1], op_type, "pads"), np.zeros((2, _rank(inputs[0])), np.int64)
        pads[:, [int(a) % rank for a in listed]] = some.reshape(2, -1)
        inputs = [inputs[0], op.constant(pads.ravel()), _operand(inputs, 2)]
    if op.opset >= 11:
        return op.emit(op_type, inputs, attributes, count)
    plain: dict[str, Any] = {"pads": [int(p) for p in _need(inputs[1], op_type, "pads")]}
    if _operand(inputs, 2) is not None:
        plain["value"] = float(_need(inputs[2], op_type, "value"))
    return op.emit(op_type, inputs[:1], {**attributes, **plain}, count)


def _slice(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Bounds were attributes before 10, and there were no steps."""
    names = ("starts", "ends", "axes")
    if _operand(inputs, 4) is not None and (_need(inputs[4], op_type, "steps") != 1).any():
        return None
    plain = {
        n: [int(x) for x in _need(v, op_type, n)] for n, v in zip(names, inputs[1:4], strict=False) if v is not None
    }
    if any(a < 0 for a in plain.get("axes", ())):
        plain["axes"] = [a % _rank(inputs[0]) for a in plain["axes"]]
    return op.emit(op_type, inputs[:1], {**attributes, **plain}, count)


def _topk(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """k was an attribute before 10."""
    attributes = {k: v for k, v in attributes.items() if (k, v) not in (("largest", 1), ("sorted", 1))}
    if set(attributes) - {"axis"}:
        return None
    return op.emit(op_type, inputs[:1], {**attributes, "k": int(_need(inputs[1], op_type, "k").item())}, count)


def _softmax(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Before 13 everything from ``axis`` on was one axis: only over the last one is it the same."""
    rank = _rank(inputs[0])
    axis = attributes.get("axis", -1) % rank
    if axis == rank - 1:
        return op.emit(op_type, inputs, {"axis": axis}, count)
    swap = [*range(rank)]
    swap[axis], swap[-1] = swap[-1], swap[axis]
    turned = op.Transpose(inputs[0], perm=swap)
    return op.Transpose(op.emit(op_type, [turned], {"axis": rank - 1}, count), perm=swap)


def _shape(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """start and end came with 15."""
    whole = op.emit(op_type, inputs, {}, 1)
    if not attributes:
        return whole
    return op.Slice(whole, [attributes.get("start", 0)], [attributes.get("end", np.iinfo(np.int64).max)], [0])


def _cast_like(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """CastLike came with 15; a Cast needs to know the type."""
    like = inputs[1]
    if like is None or like.dtype is None:
        raise Skip("the element type to cast to is unknown")
    return op.Cast(inputs[0], to=like.dtype)


def _gemm(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """C could not be left out before 11."""
    if len(inputs) > 2 and inputs[2] is not None:
        return None
    dtype = inputs[0].dtype if inputs[0] is not None else None
    if dtype is None:
        raise Skip("the element type of Gemm is unknown")
    return op.emit(op_type, [*inputs[:2], op.constant(0, dtype)], attributes, count)


def _resize(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """roi and scales could not be left out before 13: an empty tensor stands for none."""
    padded = [*inputs, None, None, None][:4]
    for i in (1, 2):
        if padded[i] is None:
            padded[i] = op.constant(np.zeros(0, np.float32))
    new = schema(op_type, None)
    assert new is not None
    late = {"antialias", "axes", "keep_aspect_ratio_policy"}  # these came with 18
    if any(attributes.get(k) not in (None, _default(new, k)) for k in late):
        return None
    return op.emit(op_type, padded, {k: v for k, v in attributes.items() if k not in late}, count)


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
# Operator -> (the opset from which on the newest spelling holds, what to do below it).
OLDER: dict[str, tuple[tuple[int, Rule], ...]] = {
    "Squeeze": ((13, _axes),),
    "Unsqueeze": ((13, _axes),),
    "ReduceSum": ((13, _axes),),
    **{f"Reduce{kind}": ((18, _axes),) for kind in _REDUCTIONS},
    "Split": ((18, _split),),
    "Clip": ((12, _clip),),
    "Max": ((12, _extremum),),
    "Min": ((12, _extremum),),
    "Relu": ((14, _relu),),
    "GreaterOrEqual": ((12, _compare),),
    "LessOrEqual": ((12, _compare),),
    "Equal": ((11, _equal),),
    "Pad": ((18, _pad),),
    "Slice": ((10, _slice),),
    "TopK": ((10, _topk),),
    "Softmax": ((13, _softmax),),
    "LogSoftmax": ((13, _softmax),),
    "Shape": ((15, _shape),),
    "CastLike": ((15, _cast_like),),
    "Gemm": ((11, _gemm),),
    "Resize": ((13, _resize),),
}
