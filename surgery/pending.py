"""New nodes that read constants alone: computed before they come into the graph, as constants in their place.

A node is pending from when it is made until it, or what it computes, has come into the graph. It is
computed only if something needs it; where the runtime can't, it is a node like others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from surgery import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np


class Pending:
    """The pending nodes of an edit of `model`."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._makers: dict[ir.Value, ir.Node] = {}
        self._folded: dict[ir.Value, ir.TensorProtocol] = {}  # those that were computed
        self._loose = 0

    def __contains__(self, value: ir.Value) -> bool:
        return value in self._makers

    def add(self, node: ir.Node) -> None:
        """Note that `node`, not yet in the graph, depends on constants alone."""
        for value in node.outputs:
            self._makers[value] = node

    def loose(self, array: np.ndarray, name: str) -> ir.Value:
        """A constant that comes into the graph when a node that needs it does."""
        tensor = ir.tensor(array, name=name)
        # A name of its own is enough, for it does not come into the graph under this one.
        self._loose += 1
        return ir.Value(
            name=f"{name}#{self._loose}",
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(array.shape),
            const_value=tensor,
        )

    def tensor(self, value: ir.Value) -> ir.TensorProtocol | None:
        """What a pending node gives; None if it can't be computed, or is not pending."""
        if value in self._makers:
            self._fold([value])
        return self._folded.get(value)

    def needed(self, nodes: Sequence[ir.Node], wanted: Sequence[ir.Value | None]) -> list[ir.Node]:
        """Those of new `nodes` that `wanted` needs, once what is constant is folded."""
        while True:
            needed, kept = {v for v in wanted if v is not None}, []
            for node in reversed(nodes):
                if any(v in needed and v not in self._makers for v in node.outputs):
                    needed.update(v for v in node.inputs if v is not None)
                    kept.append(node)
            waiting = [v for v in needed if v in self._makers and v not in self._folded]
            if not waiting:
                return kept[::-1]
            self._fold(waiting)  # where that fails, there are more nodes

    def becomes(self, value: ir.Value) -> ir.TensorProtocol | None:
        """The constant that `value` comes into the graph as: computed already, or a loose one."""
        tensor = self._folded.get(value)
        loose = tensor is None and value.producer() is None and value.graph is None
        return value.const_value if loose else tensor

    def forget(self, nodes: Iterable[ir.Node]) -> None:
        """Note that `nodes` are in the graph, or will never be."""
        for node in nodes:
            for value in node.outputs:
                self._makers.pop(value, None)
                self._folded.pop(value, None)

    def _fold(self, values: Sequence[ir.Value]) -> None:
        """Compute pending `values`; those that can't be are nodes like others."""
        values = [v for v in values if v not in self._folded]
        if not values:
            return
        cone = fold.cone(values, self._known, self._makers.get)
        if cone is not None:
            nodes, given = cone
            opset = nodes[0].version or 1 if nodes else 1
            arrays = fold.evaluate(nodes, given, values, opset, self._model.ir_version)
            if arrays is not None:
                self._folded |= {v: ir.tensor(a) for v, a in zip(values, arrays, strict=True)}
                return
        if len(values) > 1:
            for value in values:
                if value in self._makers:
                    self._fold([value])
            return
        for value in values:
            for other in self._makers[value].outputs:
                if other not in self._folded:
                    self._makers.pop(other, None)

    def _known(self, value: ir.Value) -> ir.TensorProtocol | None:
        return self._folded.get(value) or fold.constant(value, self._model.ir_version)
