"""How single operators are said at opsets older than their newest spelling: one rule each, and their table.

A rule is given an operator as its newest version has it, and returns what says the same at the
opset of `op`; or None where the newest spelling serves.

Source: the operator schemas and changelog of onnx 1.23 (docs/Changelog.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from surgery.errors import Refused
from surgery.schemas import default, refusal, schema
from surgery.views import Skip

if TYPE_CHECKING:
    from surgery.op import Op
    from surgery.views import Value

    Inputs = list[Value | None]
    Rule = Callable[[Op, str, Inputs, dict[str, Any], int], Any]


def _called(value: Value | None) -> str:
    return "an operand that is absent" if value is None else repr(value.name)


def _need(op: Op, value: Value | None, op_type: str, name: str) -> np.ndarray:
    """A constant operand, for a version that has it as an attribute."""
    array = None if value is None else value.constant
    if array is None:
        raise Refused(
            f"{op_type} needs constant {name} at opset {op.opset}", cure="convert the model to a newer opset first"
        )
    return array


def _operand(inputs: Inputs, index: int) -> Value | None:
    return inputs[index] if index < len(inputs) else None


def _axes(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Axes were an attribute: Squeeze, Unsqueeze, ReduceSum before 13, other reductions before 18."""
    axes = _operand(inputs, 1)
    if axes is None:
        if attributes.get("noop_with_empty_axes", 0):
            return _not_reduced(op, op_type, inputs[0])
        attributes = {k: v for k, v in attributes.items() if k != "noop_with_empty_axes"}
        return op.emit(op_type, inputs[:1], attributes, count)
    listed = [int(a) for a in _need(op, axes, op_type, "axes").ravel()]
    if not listed and attributes.get("noop_with_empty_axes", 0):
        return _not_reduced(op, op_type, inputs[0])
    attributes = {k: v for k, v in attributes.items() if k != "noop_with_empty_axes"}
    if not listed:
        return op.emit(op_type, inputs[:1], attributes, count)
    if op.opset < 11 and any(a < 0 for a in listed):  # negative axes came with opset 11
        dims = rank(inputs[0]) + (len(listed) if op_type == "Unsqueeze" else 0)
        listed = [a % dims for a in listed]
    return op.emit(op_type, inputs[:1], {**attributes, "axes": listed}, count)


def _not_reduced(op: Op, op_type: str, x: Value | None) -> Any:
    """A reduction over no axis: what is done to the elements remains (ReduceL1-18, noop_with_empty_axes)."""
    if op_type in ("ReduceL1", "ReduceL2"):
        return op.Abs(x)
    if op_type == "ReduceLogSum":
        return op.Log(x)
    return op.Mul(x, x) if op_type == "ReduceSumSquare" else op.Identity(x)


def rank(value: Value | None) -> int:
    """The number of dims.

    Raises:
        Skip: it is unknown.
    """
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
        if not isinstance(dim, int):  # from 18 on the last part may be smaller; before, there is no such Split
            raise Skip(f"how long {_called(inputs[0])} is where it is split is unknown")
        if dim % count == 0:
            return op.emit(op_type, inputs[:1], attributes, count)  # equal parts need not be said
        part = -(-dim // count)
        if part * (count - 1) > dim:
            raise Refused(f"{dim} elements can't be split in {count} parts")
        sizes = op.constant([part] * (count - 1) + [dim - part * (count - 1)], np.int64)
    if op.opset < 13:
        listed = [int(s) for s in _need(op, sizes, op_type, "sizes")]
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
    plain = {}
    for name, bound in (("min", low), ("max", high)):
        if bound is not None:
            array = bound.constant
            if array is None or float(np.float32(array.item())) != array.item():  # no attribute can hold it
                x = op.Max(inputs[0], low) if low is not None else inputs[0]
                return op.Min(x, high) if high is not None else x
            plain[name] = float(array.item())
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
    """GreaterOrEqual and LessOrEqual came with 12. Not Less would be true of NaN."""
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
        dims, listed = rank(inputs[0]), _need(op, axes, op_type, "axes")
        some, pads = _need(op, inputs[1], op_type, "pads"), np.zeros((2, dims), np.int64)
        pads[:, [int(a) % dims for a in listed]] = some.reshape(2, -1)
        inputs = [inputs[0], op.constant(pads.ravel()), _operand(inputs, 2)]
    if op.opset >= 11:
        return op.emit(op_type, inputs, attributes, count)
    plain: dict[str, Any] = {"pads": [int(p) for p in _need(op, inputs[1], op_type, "pads")]}
    if _operand(inputs, 2) is not None:
        plain["value"] = float(_need(op, inputs[2], op_type, "value").item())
    return op.emit(op_type, inputs[:1], {**attributes, **plain}, count)


def _slice(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Bounds were attributes before 10, and there were no steps; negative axes came with 11."""
    axes = None if _operand(inputs, 3) is None else _operand(inputs, 3).constant  # type: ignore[union-attr]
    if axes is not None and (axes < 0).any():
        inputs = [*inputs[:3], op.constant(axes % rank(inputs[0])), *inputs[4:]]
    if op.opset >= 10:
        return op.emit(op_type, inputs, attributes, count)
    if _operand(inputs, 4) is not None and (_need(op, inputs[4], op_type, "steps") != 1).any():
        return None
    named = zip(("starts", "ends", "axes"), inputs[1:4], strict=False)
    plain = {n: [int(x) for x in _need(op, v, op_type, n)] for n, v in named if v is not None}
    return op.emit(op_type, inputs[:1], {**attributes, **plain}, count)


def _gather(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Indices counted from the end came with 11."""
    indices = inputs[1].constant if inputs[1] is not None else None
    if indices is None or not (indices < 0).any():
        return None
    shape = inputs[0].shape if inputs[0] is not None else None
    dim = None if shape is None else shape[attributes.get("axis", 0)]
    if not isinstance(dim, int):
        raise Refused(
            f"Gather of opset {op.opset} takes no negative indices, and the dim that they count in is not known",
            cure="convert the model to opset 11 or newer first",
        )
    return op.emit(op_type, [inputs[0], op.constant(np.where(indices < 0, indices + dim, indices))], attributes, count)


def _topk(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """k was an attribute before 10."""
    attributes = {k: v for k, v in attributes.items() if (k, v) not in (("largest", 1), ("sorted", 1))}
    if set(attributes) - {"axis"}:
        return None
    return op.emit(op_type, inputs[:1], {**attributes, "k": int(_need(op, inputs[1], op_type, "k").item())}, count)


def _softmax(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Before 13 everything from ``axis`` on was one axis: only over the last one is it the same."""
    dims = rank(inputs[0])
    axis = attributes.get("axis", -1) % dims
    if axis == dims - 1:
        return op.emit(op_type, inputs, {"axis": axis}, count)
    swap = [*range(dims)]
    swap[axis], swap[-1] = swap[-1], swap[axis]
    turned = op.Transpose(inputs[0], perm=swap)
    return op.Transpose(op.emit(op_type, [turned], {"axis": dims - 1}, count), perm=swap)


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
    return op.Cast(inputs[0], to=like.dtype, **attributes)


def constant(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """value_float and the like came with 12."""
    ((kind, value),) = attributes.items()
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return op.constant(value.numpy() if hasattr(value, "numpy") else value, dtype.get(kind))


def _reshape(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """allowzero came with 14; it says nothing where no dim is 0."""
    shape = inputs[1].constant if inputs[1] is not None else None
    if shape is None or (shape == 0).any():
        return None
    return op.emit(op_type, inputs, {k: v for k, v in attributes.items() if k != "allowzero"}, count)


def _pow(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """An exponent of another type than the base came with 12."""
    base, exponent = inputs[0], inputs[1]
    if base is None or exponent is None or base.dtype is None or exponent.dtype in (None, base.dtype):
        return None
    known = exponent.constant
    if known is not None and (known.astype(base.dtype) == known).all():
        return op.emit(op_type, [base, op.constant(known, base.dtype)], attributes, count)
    wide = np.result_type(base.dtype, exponent.dtype)
    return op.Cast(op.Pow(op.Cast(base, to=wide), op.Cast(exponent, to=wide)), to=base.dtype)


def _quantize(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """A scale for every channel came with 13."""
    scale = inputs[1]
    if scale is None or scale.shape != ():
        raise Refused(
            f"{op_type} of opset {op.opset} takes a scalar as scale, which {scale.name if scale else ''!r} may not be",
            cure="convert the model to opset 13 or newer first",
        )
    return op.emit(op_type, inputs, {k: v for k, v in attributes.items() if k != "axis"}, count)


def _roi_align(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """Before 16 there was no half pixel, which is the default since."""
    if attributes.get("coordinate_transformation_mode", "half_pixel") != "output_half_pixel":
        raise refusal(op_type, op.opset, 16)
    plain = {k: v for k, v in attributes.items() if k != "coordinate_transformation_mode"}
    return op.emit(op_type, inputs, plain, count)


def _grid_sample(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """The modes had other names before 20, and images no depth."""
    if op.opset < 16:
        return None
    if rank(inputs[0]) != 4:
        raise refusal(op_type, op.opset, 20)
    mode = attributes.get("mode", "linear")
    older = {"linear": "bilinear", "cubic": "bicubic"}
    return op.emit(op_type, inputs, {**attributes, "mode": older.get(mode, mode)}, count)


def _dft(op: Op, op_type: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> Any:
    """The axis was an attribute before 20."""
    if op.opset < 17:
        return None
    axis = -2 if _operand(inputs, 2) is None else int(_need(op, inputs[2], op_type, "axis").item())
    return op.emit(op_type, inputs[:2], {**attributes, "axis": axis % rank(inputs[0])}, count)


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
    if op.opset < 11:  # what its coordinates meant was never said
        raise refusal(op_type, op.opset, 11)
    padded = [*inputs, None, None, None][:4]
    for i in (1, 2):
        if padded[i] is None:
            padded[i] = op.constant(np.zeros(0, np.float32))
    new = schema(op_type, None)
    assert new is not None
    late = {"antialias", "axes", "keep_aspect_ratio_policy"}  # these came with 18
    if any(attributes.get(k) not in (None, default(new, k)) for k in late):
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
    "Slice": ((11, _slice),),
    "Gather": ((11, _gather),),
    "Pow": ((12, _pow),),
    "TopK": ((10, _topk),),
    "Softmax": ((13, _softmax),),
    "LogSoftmax": ((13, _softmax),),
    "Hardmax": ((13, _softmax),),
    "Shape": ((15, _shape),),
    "CastLike": ((15, _cast_like),),
    "Gemm": ((11, _gemm),),
    "Resize": ((13, _resize),),
    "Reshape": ((14, _reshape),),
    "Constant": ((12, constant),),
    "QuantizeLinear": ((13, _quantize),),
    "DequantizeLinear": ((13, _quantize),),
    "RoiAlign": ((16, _roi_align),),
    "GridSample": ((20, _grid_sample),),
    "DFT": ((20, _dft),),
}
# Operators whose ``axis`` could not be negative before opset 11.
COUNTED = {"ArgMax", "ArgMin", "Compress", "Concat", "Flatten", "Gather", "Split"}
# Values of attributes that came later than the attribute: name, value, opset.
LATE: dict[str, tuple[tuple[str, str, int], ...]] = {
    "Pad": (("mode", "wrap", 19),),
    "Resize": (("coordinate_transformation_mode", "half_pixel_symmetric", 19),),
    "ScatterElements": (("reduction", "max", 18), ("reduction", "min", 18)),
    "ScatterND": (("reduction", "max", 18), ("reduction", "min", 18)),
}
# Before these opsets the same name says something else: only the function body of the standard says the same.
# GroupNormalization had scale and bias for groups, not for channels.
BY_BODY = {"GroupNormalization": 21}
