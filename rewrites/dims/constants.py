"""Make constant what the dims of the inputs have made so: tensors, targets of Reshape and Expand, sizes of Resize."""

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from rewrites.dims import Dim, Dims
from surgery import Edit, Extents


def fold(edit: Edit, extents: Extents) -> int:
    """Put constants in the place of what became constant; returns of how many values."""
    settled = extents.settled()
    for value, tensor in settled.items():
        maker = value.producer()
        assert maker is not None
        edit.substitute([value], [edit.constant(tensor, f"{value.name}/constant")], maker)
    edit.drop(settled)
    return len(settled)


def retarget(edit: Edit, extents: Extents) -> int:
    """Make targets constant of which all but one dim is known: -1 and 0 say the rest; returns how many."""
    changed = 0
    for node in list(edit.model.graph):
        if node.domain or node.op_type not in ("Reshape", "Expand"):
            continue
        source, target = node.inputs[:2]
        if source is None or target is None:
            continue
        dims, elements = extents.dims(source), extents.elements(target)
        if dims is None or elements is None or edit.is_constant(target) or extents.is_constant(target):
            continue
        entries = _expanded(dims, list(elements.flat)) if node.op_type == "Expand" else _reshaped(node, dims, elements)
        if entries is not None and all(isinstance(e, int) for e in entries):
            tensor = ir.tensor(entries, dtype=ir.DataType.INT64)
            node.replace_input_with(1, edit.constant(tensor, f"{target.name}/constant"))
            edit.drop([target])
            changed += 1
    return changed


def _expanded(dims: Dims, asked: list[Any]) -> list[Any]:
    """A target of Expand: 1 takes the dim that is there."""
    offset = len(dims) - len(asked)
    return [1 if isinstance(e, str) and _has(dims, i + offset, e) else e for i, e in enumerate(asked)]


def _reshaped(node: ir.Node, dims: Dims, elements: np.ndarray) -> list[Any] | None:
    """A target of Reshape: 0 keeps the dim that is there, and one -1 finds another."""
    asked = list(elements.flat)
    if 0 in asked or 0 in dims or "allowzero" in node.attributes:
        return None  # an empty tensor, or 0 that means what it says
    known = [0 if isinstance(e, str) and _has(dims, i, e) else e for i, e in enumerate(asked)]
    if sum(not isinstance(e, int) for e in known) == 1 and -1 not in known:
        known = [e if isinstance(e, int) else -1 for e in known]
    return known


def _has(dims: Dims, axis: int, dim: str) -> bool:
    """Whether a tensor has that dim at an axis."""
    return 0 <= axis < len(dims) and dims[axis] == dim


def rescale(edit: Edit, extents: Extents) -> int:
    """Say sizes of Resize as scales, where those are known and give the very sizes; returns how many."""
    changed = 0
    for node in list(edit.model.graph):
        if node.domain or node.op_type != "Resize" or len(node.inputs) < 4 or node.inputs[3] is None:
            continue
        source, sizes = node.inputs[0], node.inputs[3]
        dims = None if source is None else extents.dims(source)
        if edit.is_constant(sizes) or dims is None or {"axes", "keep_aspect_ratio_policy"} & set(node.attributes):
            continue
        asked = extents.elements(sizes)
        found = [] if asked is None else [_scale(d, e) for d, e in zip(dims, asked.flat, strict=True)]
        scales = [one for one in found if one is not None]
        if scales and len(scales) == len(found):
            tensor = ir.tensor(scales, dtype=ir.DataType.FLOAT)
            node.resize_inputs(3)
            node.replace_input_with(2, edit.constant(tensor, f"{node.name}/scales"))
            edit.drop([sizes])
            changed += 1
    return changed


def _scale(dim: Dim, size: Dim) -> float | None:
    """What the runtime makes of a size, a float32, if it leads back to the size; None where either is not known."""
    if not isinstance(size, int) or not isinstance(dim, int):
        return 1.0 if size == dim and size is not None else None
    factor = np.float32(size) / np.float32(max(dim, 1))
    # The runtime multiplies in float32, shape inference in float64.
    back = {math.floor(np.float32(dim) * factor), math.floor(dim * float(factor))}
    return float(factor) if back == {size} else None
