"""The dims that an operator makes of dims: onnx's own inference of one node, and what that loses.

What onnx loses: dims beside one that it can't tell, the dims of Reshape, Expand and ConstantOfShape
where their target is known in part, and what it does not look at, as the channels of a convolution.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from surgery.shapes import Dims, count
from surgery.views import attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surgery.extents import Extents

Kind = tuple[int, Dims | None]  # element type, 0 where it is not known, and dims, None where the rank is not known

UNKNOWN: Kind = (0, None)
# An end of a Slice that means the end of the tensor.
FAR = (1 << 31) - 1
# A tensor of more elements is no shape.
MOST = 256


class Contradiction(Exception):
    """A node can't take the shapes that it gets; ``node`` is it, the message says why."""

    def __init__(self, node: ir.Node, why: str) -> None:
        super().__init__(why)
        self.node = node


def infer(node: ir.Node, known: Extents) -> list[Kind]:
    """Element type and dims of each output.

    Args:
        node: a node of a standard operator, without sub-graphs.
        known: what is known of its inputs.

    Raises:
        Contradiction: the node can't take its inputs.
    """
    unknown = [UNKNOWN] * len(node.outputs)
    own = _by_target(node, known)
    if own is not None:
        return [own]
    _check_channels(node, [None if v is None else known.dims(v) for v in node.inputs], known.opset)
    types, data = {}, {}
    for value in node.inputs:
        if value is None:
            continue
        element, dims = known.kind(value)
        if not element:
            return unknown
        types[value.name or ""] = onnx.helper.make_tensor_type_proto(element, dims)
        proto = _data(value, known)
        if proto is not None:
            data[value.name or ""] = proto
    try:
        schema = onnx.defs.get_schema(node.op_type, known.opset, "")
        found = onnx.shape_inference.infer_node_outputs(
            schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid("", known.opset)]
        )
    except onnx.shape_inference.InferenceError as error:
        raise Contradiction(node, _plain(str(error))) from None
    except (onnx.defs.SchemaError, onnx.checker.ValidationError, ValueError, RuntimeError, TypeError):
        return unknown
    read = [_read(found[v.name]) if v.name in found else UNKNOWN for v in node.outputs]
    return [_kept(node, *kind, known) for kind in read]


def _kept(node: ir.Node, element: int, dims: Dims | None, known: Extents) -> Kind:
    """The dims where onnx gives up on all of them, and the operator keeps some as they are."""
    x = None if node.inputs[0] is None else known.dims(node.inputs[0])
    if node.op_type == "ConvTranspose" and x and dims and len(x) == len(dims):
        return element, (x[0], *dims[1:])
    if node.op_type in ("Resize", "Upsample") and x:
        return element, _resized(node, x, dims if dims is not None and len(dims) == len(x) else (None,) * len(x), known)
    if node.op_type == "Slice" and x and dims and len(x) == len(dims) and len(node.inputs) > 2:
        whole = _whole(node, len(x), known)
        kept = enumerate(zip(x, dims, strict=True))
        return element, tuple(a if d is None and i in whole else d for i, (a, d) in kept)
    return element, dims


def _resized(node: ir.Node, x: Dims, dims: Dims, known: Extents) -> Dims:
    """The dims of a Resize of dims `x`: its sizes, or as they were where the scale is 1."""
    if "axes" in node.attributes:
        return dims
    sizes = _elements(node, 3, known)
    if sizes is not None and len(sizes) == len(x):
        return tuple(a if d is None else d for d, a in zip(dims, sizes, strict=True))
    scales = _input(node, 1 if node.op_type == "Upsample" else 2)
    tensor = None if scales is None or known.dims(scales) != (len(x),) else known.tensor(scales)
    if tensor is None:
        return dims
    return tuple(a if d is None and scale == 1 else d for d, a, scale in zip(dims, x, tensor.numpy(), strict=True))


def _whole(node: ir.Node, rank: int, known: Extents) -> set[int]:
    """The axes of which a Slice takes all, however long they are."""
    starts, ends, axes, steps = (_elements(node, i, known) for i in range(1, 5))
    if starts is None or ends is None:
        return set()
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), object) if steps is None else steps
    taken = zip(axes, starts, ends, steps, strict=True)
    part = {
        a % rank for a, start, end, step in taken if (start, step) != (0, 1) or not isinstance(end, int) or end < FAR
    }
    return set(range(rank)) - part


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _elements(node: ir.Node, index: int, known: Extents) -> np.ndarray | None:
    value = _input(node, index)
    return None if value is None else known.elements(value)


def _data(value: ir.Value, known: Extents) -> onnx.TensorProto | None:
    """A small constant, for the inference of dims that depend on it."""
    elements = known.elements(value)
    if elements is not None:
        if not all(isinstance(e, int) for e in elements.flat):
            return None
        dtype = onnx.helper.tensor_dtype_to_np_dtype(known.kind(value)[0])
        return onnx.numpy_helper.from_array(elements.astype(dtype), value.name)
    size = count(known.dims(value))
    tensor = known.tensor(value) if size is not None and size <= MOST else None
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    return onnx.numpy_helper.from_array(tensor.numpy(), value.name)


def _by_target(node: ir.Node, known: Extents) -> Kind | None:
    """The operators whose dims are the elements of a tensor, which may be known in part."""
    if node.op_type not in ("Reshape", "Expand", "ConstantOfShape") or len(node.inputs) < 1:
        return None
    wanted = node.inputs[-1]
    elements = None if wanted is None else known.elements(wanted)
    if elements is None or node.inputs[0] is None:
        return None
    asked = list(elements.flat)
    if node.op_type == "ConstantOfShape":
        filler = node.attributes.get("value")
        element = onnx.TensorProto.FLOAT if filler is None else filler.as_tensor().dtype.value
        return element, tuple(asked)
    element, dims = known.kind(node.inputs[0])
    if not element:
        return None
    if node.op_type == "Expand":
        return element, None if dims is None else _expand(node, dims, asked)
    return element, _reshaped(node, dims, asked, bool(attribute(node, "allowzero", known.opset, 0)))


def _reshaped(node: ir.Node, dims: Dims | None, asked: Sequence[object], allowzero: bool) -> Dims:
    """The dims that Reshape makes of `dims` where `asked` is its target, known in part.

    Raises:
        Contradiction: the numbers of elements differ.
    """
    out: list[int | str | None] = []
    for i, dim in enumerate(asked):
        if dim == 0 and not allowzero:
            if dims is not None and i >= len(dims):
                raise Contradiction(node, f"its target {list(asked)} keeps axis {i}, which {list(dims)} lacks")
            out.append(None if dims is None else dims[i])
        else:
            out.append(dim if isinstance(dim, str) or (isinstance(dim, int) and dim >= 0) else None)
    rest = [i for i, dim in enumerate(asked) if dim == -1] or [i for i, dim in enumerate(out) if dim is None]
    if dims is not None and None not in dims and len(rest) <= 1:
        _balance(node, dims, asked, out, rest[0] if rest else None)
    return tuple(out)


def _balance(node: ir.Node, dims: Dims, asked: Sequence[object], out: list[int | str | None], rest: int | None) -> None:
    """Find the dim `rest` of `out` by the number of elements, which is that of `dims`; or see that they are as many."""
    others = [d for i, d in enumerate(out) if i != rest]
    if None in others:
        return
    # What both have in common, symbols and numbers, is cancelled; what is left is the one dim.
    have, take = Counter(d for d in dims if isinstance(d, str)), Counter(d for d in others if isinstance(d, str))
    number = math.prod(d for d in dims if isinstance(d, int))
    taken = math.prod(d for d in others if isinstance(d, int))
    left = list((have - take).elements())
    if take - have or (rest is not None and not taken):
        return  # symbols that may be equal to others; or no elements, which any dim fits
    if number != taken if rest is None else number % taken:
        if not left:
            raise Contradiction(node, f"{list(dims)} can't be reshaped to {list(asked)}")
    elif rest is not None and not left:
        out[rest] = number // taken
    elif rest is not None and len(left) == 1 and number == taken:
        out[rest] = left[0]


def _expand(node: ir.Node, dims: Dims, asked: Sequence[object]) -> Dims:
    rank = max(len(dims), len(asked))
    ours = [1] * (rank - len(dims)) + list(dims)
    theirs = [1] * (rank - len(asked)) + list(asked)
    out: list[int | str | None] = []
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, int) and isinstance(b, int) and 1 not in (a, b) and a != b:
            raise Contradiction(node, f"{list(dims)} can't be expanded to {list(asked)}")
        if a == 1 or (isinstance(b, int) and b != 1):
            out.append(b)  # type: ignore[arg-type]
        elif b == 1 or a == b or isinstance(a, int):
            out.append(a)
        else:
            out.append(None)
    return tuple(out)


def _check_channels(node: ir.Node, shapes: Sequence[Dims | None], opset: int) -> None:
    """A convolution's channels, which onnx does not look at."""
    if node.op_type not in ("Conv", "ConvTranspose") or len(shapes) < 2:
        return
    x, w = shapes[:2]
    if not x or not w or len(x) < 3 or len(w) < 3:
        return
    group = attribute(node, "group", opset, 1)
    takes = w[0] if node.op_type == "ConvTranspose" else (w[1] * group if isinstance(w[1], int) else None)
    if isinstance(x[1], int) and isinstance(takes, int) and x[1] != takes:
        raise Contradiction(node, f"its weights are for {takes} channels, and it gets {x[1]}")


def _read(proto: onnx.TypeProto) -> Kind:
    tensor = proto.tensor_type
    if not tensor.elem_type:
        return 0, None
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    dims = tensor.shape.dim
    return tensor.elem_type, tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims)


def _plain(text: str) -> str:
    """An error of onnx without its kind and its place in onnx's source."""
    text = " ".join(text.split())
    for sign in ("[ShapeInferenceError]", "[TypeInferenceError]"):
        text = text.rpartition(sign)[2]
    return text.strip() or "its inputs do not fit"
