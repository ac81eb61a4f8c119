"""Evaluate nodes on small tensors of whole numbers that are known in part: numbers, names of symbols, and None.

    [batch, 3, 32] -> Slice [0:2] -> [batch, 3]        Mul by [1, 2] -> [batch, 6]

Operators that move elements are run on the elements' numbers, others on those elements that are
known in all operands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from surgery.shapes import Dims, count
from surgery.views import attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from surgery.extents import Extents

Elements = np.ndarray  # of objects: int, str, or None

# They move elements and leave them as they are; only input 0 holds elements (Concat: all).
_MOVES = {
    *("Gather", "Slice", "Squeeze", "Unsqueeze", "Identity", "Reshape", "Concat", "Transpose", "Expand"),
    *("Tile", "Split", "Flatten", "GatherElements", "GatherND"),
}
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Neg", "Abs", "Floor", "Ceil", "Where", "Equal"}


def learn(node: ir.Node, known: Extents) -> dict[ir.Value, Elements]:
    """The elements of a node's outputs, where they are small and something of them is known.

    Args:
        node: a node of a standard operator, without sub-graphs.
        known: what is known of its inputs, and the dims of its outputs.
    """
    source = node.inputs[0] if node.inputs else None
    if node.op_type in ("Shape", "Size"):
        dims = None if source is None else known.dims(source)
        found = None if dims is None else _of_dims(node, dims, known.opset)
        return {} if found is None else _plain({node.outputs[0]: found})
    if not all(v is None or known.is_small(v) for v in node.outputs):
        return {}
    if node.op_type == "Cast" and source is not None and known.is_small(source):
        elements = known.elements(source)
        return {} if elements is None else _plain({node.outputs[0]: elements})
    if node.op_type in _MOVES:
        return _plain(_moved(node, known))
    if node.op_type in _ELEMENTWISE:
        return _plain(_computed(node, known))
    return {}


def _of_dims(node: ir.Node, dims: Dims, opset: int) -> Elements | None:
    """What Shape and Size give of dims."""
    if node.op_type == "Shape":
        start, end = (attribute(node, name, opset, None) for name in ("start", "end"))
        return np.array([*dims[start or 0 : end], None], object)[:-1]
    size = count(dims)
    return None if size is None else np.array(size, object)


def _moved(node: ir.Node, known: Extents) -> dict[ir.Value, Elements]:
    """Elements that are moved: the operator is run on their numbers."""
    held = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    pool: list[object] = []
    given: dict[ir.Value, ir.TensorProtocol] = {}
    for value in node.inputs:
        if value is None or value in given:
            continue
        if value not in held:
            tensor = known.tensor(value)
            if tensor is None:
                return {}
            given[value] = tensor
            continue
        elements, dims = known.elements(value), known.dims(value)
        if elements is None:
            if dims is None or not known.is_small(value):
                return {}
            elements = np.full(dims, None, object)  # type: ignore[arg-type]
        numbers = np.arange(len(pool), len(pool) + elements.size).reshape(elements.shape)
        pool += elements.flat
        given[value] = ir.tensor(numbers.astype(np.int64))
    outputs = [v for v in node.outputs if v.name]
    moved = known.evaluate([node], given, outputs)
    found = {}
    for value, numbers in zip(outputs, moved or (), strict=False):
        flat = np.empty(numbers.size, object)
        flat[:] = [pool[i] for i in numbers.flat]
        found[value] = flat.reshape(numbers.shape)
    return found


def _computed(node: ir.Node, known: Extents) -> dict[ir.Value, Elements]:
    """Elements that are computed one by one: those of numbers alone are numbers."""
    operands = [elements for v in node.inputs if v is not None and (elements := known.elements(v)) is not None]
    if len(operands) < len(node.inputs):
        return {}
    numbers = np.logical_and.reduce(np.broadcast_arrays(*map(_is_int, operands)))
    given: dict[ir.Value, ir.TensorProtocol] = {}
    for value, operand in zip(node.inputs, operands, strict=True):
        assert value is not None
        dtype = onnx.helper.tensor_dtype_to_np_dtype(known.kind(value)[0])
        given[value] = ir.tensor(np.where(_is_int(operand), operand, 1).astype(dtype))
    found = known.evaluate([node], given, node.outputs)
    if found is None:
        return {}
    elements = np.where(numbers, found[0].astype(object), np.full(numbers.shape, None, object))
    return {node.outputs[0]: _by_rule(node.op_type, np.broadcast_arrays(*operands), elements, numbers)}


def _by_rule(op_type: str, operands: Sequence[Elements], elements: Elements, numbers: np.ndarray) -> Elements:
    """The elements that were computed, where `numbers` says so, and those known whatever a symbol stands for."""
    if op_type == "Equal":  # a dim is not negative
        a, b = operands
        for one, other in ((a, b), (b, a)):
            elements = np.where(_each(one, lambda e: isinstance(e, str)) & _below_zero(other), 0, elements)
    if op_type == "Where":
        chosen, a, b = operands
        elements = np.where(_is(chosen, 1), a, np.where(_is(chosen, 0), b, np.full(a.shape, None, object)))
    if op_type in ("Mul", "Add", "Div", "Sub"):  # x * 1 and x + 0 are x
        neutral = 1 if op_type in ("Mul", "Div") else 0
        a, b = operands
        elements = np.where(~numbers & _is(b, neutral), a, elements)
        if op_type in ("Mul", "Add"):
            elements = np.where(~numbers & _is(a, neutral), b, elements)
    return elements


def _plain(found: dict[ir.Value, Elements]) -> dict[ir.Value, Elements]:
    """The elements of tensors that have names, as Python's numbers in place of numpy's."""
    return {v: np.vectorize(_as_int, otypes=[object])(e) if e.size else e for v, e in found.items() if v.name}


def _as_int(element: object) -> object:
    return int(element) if isinstance(element, (int, np.integer, np.bool_)) else element


def _is_int(elements: Elements) -> np.ndarray:
    return _each(elements, lambda e: isinstance(e, int))


def _is(elements: Elements, number: int) -> np.ndarray:
    return _each(elements, lambda e: isinstance(e, int) and e == number)


def _below_zero(elements: Elements) -> np.ndarray:
    return _each(elements, lambda e: isinstance(e, int) and e < 0)


def _each(elements: Elements, test: Callable[[object], bool]) -> np.ndarray:
    return np.array([test(e) for e in elements.flat], bool).reshape(elements.shape)
