"""Targets that are put together when the model runs: of numbers, dims of tensors, and entries of another target."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from rewrites.dims.follow import Followed
from surgery import Edit


class Size(NamedTuple):
    """A dim of a tensor."""

    tensor: ir.Value
    axis: int


class Entry(NamedTuple):
    """An entry of a target."""

    target: ir.Value
    at: int


Part = int | Size | Entry


class Targets:
    """Puts targets together, [n] of int64; every size is read once."""

    def __init__(self, edit: Edit, followed: Followed) -> None:
        self.edit = edit
        self.followed = followed
        self._sizes: dict[Size, ir.Value] = {}

    def joined(self, node: ir.Node, parts: Sequence[Part]) -> ir.Value:
        """The parts as one tensor, made before `node`."""
        values: list[ir.Value] = []
        numbers: list[int] = []  # those that come one after the other are one constant
        for part in parts:
            if isinstance(part, int):
                numbers.append(part)
                continue
            values += self._constants(numbers)
            numbers = []
            values.append(self._size(node, part) if isinstance(part, Size) else self._entry(node, part))
        values += self._constants(numbers)
        if len(values) == 1:
            return values[0]
        concat = self.edit.node("Concat", values, {"axis": 0}, base=node.name or node.op_type)
        return self.followed.put(concat, node)

    def said(self, target: ir.Value, index: int, entry: int) -> Part:
        """An entry of a target as it is: a number if it always is that, else read from it when the model runs."""
        return entry if self.edit.is_constant(target) else Entry(target, index)

    def _constants(self, numbers: Sequence[int]) -> list[ir.Value]:
        return [self.edit.constant(np.array(numbers, np.int64))] if numbers else []

    def _size(self, node: ir.Node, size: Size) -> ir.Value:
        if size not in self._sizes:
            shape = self.edit.node("Shape", [size.tensor], base=size.tensor.name or "")
            self._sizes[size] = self._entry(node, Entry(self.followed.put(shape, node), size.axis))
        return self._sizes[size]

    def _entry(self, node: ir.Node, entry: Entry) -> ir.Value:
        number = self.edit.constant(np.array([entry.at], np.int64))
        gather = self.edit.node("Gather", [entry.target, number], {"axis": 0}, base=entry.target.name or "")
        return self.followed.put(gather, node)
