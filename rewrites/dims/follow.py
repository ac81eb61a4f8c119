"""Follow one dim of a model's inputs through the graph: what has it, what comes of it.

The graph is followed twice, at the dim's old size and at one that no dim has (`RATIO` times the old one). Where the
two give other dims, or other elements of a target, the dim went there.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import onnx_ir as ir

from rewrites.dims import Dims, called, dims_of
from surgery import Contradiction, Edit, Extents, Refused

# The size that is followed in place of the old one is this many times it: no size that occurs.
RATIO = 1009
# Sizes to take for dims that are free already: for axis 0, for those of images, and for others.
OTHERS = ((2, 64, 12), (2, 48, 12), (2, 32, 64), (1, 224, 20), (2, 320, 128), (1, 640, 512))


class Axis(NamedTuple):
    """An axis of an input."""

    value: ir.Value
    axis: int

    @property
    def size(self) -> int:
        """What it is."""
        return int(self.value.shape[self.axis])  # type: ignore[index,arg-type]


class Followed:
    """The graph at the old size of a dim, at the other, and with symbols as it was.

    `old`, `new` and `symbols` are these three; the first two know the nodes that were stepped over, or put into the
    graph by `put`.

    Args:
        edit: the edit of the model.
        axes: the axes of inputs that are the dim; all are of one size.

    Raises:
        Refused: no sizes of the dims that are free already are found that the model takes.
    """

    def __init__(self, edit: Edit, axes: Sequence[Axis]) -> None:
        self.edit = edit
        self.unit = axes[0].size
        symbolic = {v: dims for v in edit.model.graph.inputs if (dims := dims_of(v.shape)) is not None}
        self.symbols = Extents(edit, symbolic)
        self.symbols.walk()
        was = self._bound(symbolic)
        now = dict(was)
        for value, axis in axes:
            now[value] = tuple(d * RATIO if i == axis else d for i, d in enumerate(now[value]))
        self.old = Extents(edit, was, declared=False)
        self.new = Extents(edit, now, declared=False)

    def _bound(self, symbolic: dict[ir.Value, Dims]) -> dict[ir.Value, Dims]:
        """The inputs' dims with sizes in the place of what is free, such that the nodes take them."""
        for batch, image, other in OTHERS:
            bound = {
                v: tuple(
                    d if isinstance(d, int) and d >= 0 else batch if i == 0 else image if len(dims) == 4 else other
                    for i, d in enumerate(dims)
                )
                for v, dims in symbolic.items()
            }
            extents = Extents(self.edit, bound, declared=False)
            extents.walk()
            if not extents.faults:
                return bound
        fault = extents.faults[0]
        raise Refused(f"no sizes were found that it takes: {fault}", where=called(fault.node))

    def grown(self, value: ir.Value) -> list[int]:
        """The axes of a tensor that follow the dim."""
        was, now = self.old.dims(value), self.new.dims(value)
        if was is None or now is None or len(was) != len(now):
            return []
        return [i for i, (a, b) in enumerate(zip(was, now, strict=True)) if a != b]

    def concerns(self, node: ir.Node) -> bool:
        """Whether anything that a node reads has the dim, or is computed from it: a target, say."""
        return any(self.grown(v) for v in reads(node)) or any(
            v is not None and self._computed_from(v) for v in node.inputs[1:]
        )

    def _computed_from(self, value: ir.Value) -> bool:
        was, now = self.old.elements(value), self.new.elements(value)
        return was is not None and now is not None and was.tolist() != now.tolist()

    def takes(self, node: ir.Node) -> bool:
        """Whether a node takes the new size as it is."""
        try:
            self.new.step(node)
        except Contradiction:
            return False
        return True

    def put(self, node: ir.Node, before: ir.Node) -> ir.Value:
        """Put a new node into the graph, and follow it; returns its first output."""
        self.edit.model.graph.insert_before(before, node)
        self.old.step(node)
        self.new.step(node)
        return node.outputs[0]

    def is_constant(self, value: ir.Value) -> bool:
        """Whether a value is the same whatever the inputs hold, and whatever their free dims are."""
        return self.symbols.is_constant(value) and self.symbols.tensor(value) is not None


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, its sub-graphs too."""
    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
            for inner in attribute.as_graph():
                yield from reads(inner)
