"""Take the old size of a dim out of what nodes read, operator by operator.

A target of Reshape says 0 or -1 in its place, one of Expand 1; a Slice that took all takes all; sizes of Resize are
read from its input; states of LSTM, GRU and RNN, and constants that are joined with what has the dim, are expanded
along it when the model runs.
"""

from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from rewrites.dims import Dims, called
from rewrites.dims.follow import Followed
from rewrites.dims.regroup import moves, regrouped
from rewrites.dims.targets import Part, Size, Targets
from surgery import Edit, Refused

END = (1 << 63) - 1
# Inputs that have the batch in common, which onnx's inference does not hold them to.
TOGETHER = ("GridSample", "GatherElements", "ScatterElements")


class Cures:
    """The cures of one dim. `cured` are the nodes that had one, as errors call them.

    Args:
        edit: the edit of the model.
        followed: where the dim is.
        name: the dim's, for errors.
        batch: whether it is the batch, whose parts do not know of each other.
    """

    def __init__(self, edit: Edit, followed: Followed, name: str, *, batch: bool) -> None:
        self.edit = edit
        self.followed = followed
        self.old, self.new = followed.old, followed.new
        self.targets = Targets(edit, followed)
        self.name = name
        self.batch = batch
        self.cured: list[str] = []
        self._by_operator: dict[str, Callable[[ir.Node], None]] = {
            "Reshape": self.reshape,
            "Expand": self.expand,
            "Slice": self.slice,
            "Resize": self.resize,
            "Concat": self.concat,
            **dict.fromkeys(("LSTM", "GRU", "RNN"), self.recurrent),
            **dict.fromkeys(TOGETHER, lambda node: self.together(node, {0})),
        }

    def cure(self, node: ir.Node) -> None:
        """Take the old size out of what a node reads, where it stands there; the node may be replaced.

        Raises:
            Refused: it can't be told what stands there for other sizes.
        """
        if node.domain:
            return
        before = list(node.inputs)
        self._by_operator.get(node.op_type, self.broadcast)(node)
        if node.graph is None:
            return
        gone = [v for v, w in zip(before, node.inputs, strict=False) if v is not None and v is not w]
        if gone:
            self.cured.append(called(node))
        self.edit.drop(gone)

    # ---- targets ----------------------------------------------------------------------------

    def reshape(self, node: ir.Node) -> None:
        """What the dim comes into is kept, or found; what only a dim of one element bears is moved by hand."""
        source, target = node.inputs
        assert source is not None and target is not None
        was, now, out = self.old.dims(source), self.new.dims(source), self.old.dims(node.outputs[0])
        if was and out and (move := moves(was, self.followed.grown(source), out)):
            self.move(node, *move)
            return
        wanted = None if was is None or now is None or out is None else regrouped(was, now, out, self.followed.unit)
        if wanted is None or out is None or now is None or was is None:
            raise Refused(
                f"it can't be told where the {self.name!r} goes in its target {target.name!r}", where=called(node)
            )
        if self.followed.takes(node) and self.new.dims(node.outputs[0]) == wanted:
            return
        said = self.old.elements(target)
        if said is None:
            raise Refused(f"nothing is known of its target {target.name!r}", where=called(node))
        grown = [i for i, (a, b) in enumerate(zip(out, wanted, strict=True)) if a != b]
        # 0 keeps a dim that the source has there.
        kept = [i for i in grown if i < len(now) and now[i] == wanted[i] and was[i] == out[i] and _zero_keeps(node)]
        entries = self._entries(node, said.tolist(), kept, [i for i in grown if i not in kept])
        if self.edit.is_constant(target):
            node.replace_input_with(1, self.edit.constant(np.array(entries, np.int64), f"{target.name}/free"))
            return
        parts = [e if i in grown else self.targets.said(target, i, e) for i, e in enumerate(entries)]
        node.replace_input_with(1, self.targets.joined(node, parts))

    def _entries(self, node: ir.Node, said: list[Any], kept: list[int], found: list[int]) -> list[Any]:
        """A target of which the dims `kept` are those of the source, and the dims `found` follow the rest.

        Raises:
            Refused: there would have to be more than one -1.
        """
        entries = list(said)
        if found:  # where -1 stands for another dim, that has to be known
            others = {*range(len(said))}.difference(kept, found)
            entries = [self._known(node, i) if e == -1 and i in others else e for i, e in enumerate(said)]
        if len(found) > 1:
            target = node.inputs[1]
            assert target is not None
            raise Refused(f"two dims of its target {target.name!r} follow the {self.name!r}", where=called(node))
        return [0 if i in kept else -1 if i in found else entry for i, entry in enumerate(entries)]

    def _known(self, node: ir.Node, axis: int) -> int:
        """The number that a dim of a Reshape's output always is."""
        dims = self.followed.symbols.dims(node.outputs[0])
        known = None if dims is None else dims[axis]
        if not isinstance(known, int):
            target = node.inputs[1]
            assert target is not None
            raise Refused(f"two dims of its target {target.name!r} would have to be found", where=called(node))
        return known

    def move(self, node: ir.Node, of: int, to: int) -> None:
        """A Reshape that moves the dim past others, which only one of size 1 bears, is reshaped row by row."""
        source, target = node.inputs
        assert source is not None and target is not None
        out = self.followed.symbols.dims(node.outputs[0]) or ()
        row = [d for i, d in enumerate(out) if i != to]
        if not all(isinstance(d, int) for d in row):
            raise Refused(f"its target {target.name!r} moves the {self.name!r} past dims not known", where=called(node))
        value: ir.Value = source
        rank = len(self.old.dims(source) or ())
        base = node.name or ""
        if of:
            front = {"perm": [of, *(i for i in range(rank) if i != of)]}
            value = self.followed.put(self.edit.node("Transpose", [value], front, base=base), node)
        shape = self.edit.constant(np.array([-1, *row], np.int64), f"{target.name}/free")
        value = self.followed.put(self.edit.node("Reshape", [value, shape], base=base), node)
        if to:
            back = {"perm": [*range(1, to + 1), 0, *range(to + 1, len(out))]}
            value = self.followed.put(self.edit.node("Transpose", [value], back, base=base), node)
        self.cured.append(called(node))
        self.edit.replace(node, [value])

    def expand(self, node: ir.Node) -> None:
        """An entry that was the old size says 1, which takes any."""
        source, target = node.inputs
        assert source is not None and target is not None
        dims, entries = self.new.dims(source) or (), self.old.elements(target)
        if entries is None:
            return
        offset = len(entries) - len(dims)
        baked = [i + offset for i in self.followed.grown(source) if 1 != entries[i + offset] != dims[i]]
        if not baked or self.followed.takes(node):
            return
        parts: list[Part] = [1 if i in baked else self.targets.said(target, i, e) for i, e in enumerate(entries)]
        node.replace_input_with(1, self.targets.joined(node, parts))

    def slice(self, node: ir.Node) -> None:
        """A Slice that took all of the dim takes all of it."""
        source = node.inputs[0]
        if source is None or len(node.inputs) < 3:
            return
        was = self.old.dims(source) or ()
        starts, ends, axes, steps = (self._numbers(node, i) for i in (1, 2, 3, 4))
        if starts is None or ends is None:
            return
        axes = list(range(len(starts))) if axes is None else [a % len(was) for a in axes]
        free = list(ends)
        for k, axis in enumerate(axes):
            whole = starts[k] == 0 and (steps is None or steps[k] == 1)
            if axis in self.followed.grown(source) and whole and ends[k] == was[axis]:
                free[k] = END
        if free != list(ends) and (target := node.inputs[2]) is not None and self.edit.is_constant(target):
            dtype = self.new.tensor(target).dtype.numpy()  # type: ignore[union-attr]
            free = [min(e, int(np.iinfo(dtype).max)) for e in free]
            node.replace_input_with(2, self.edit.constant(np.array(free, dtype), f"{target.name}/free"))

    def _numbers(self, node: ir.Node, index: int) -> list[int] | None:
        value = node.inputs[index] if index < len(node.inputs) else None
        elements = None if value is None else self.old.elements(value)
        return None if elements is None else elements.tolist()

    def resize(self, node: ir.Node) -> None:
        """Sizes that are written down are read from the input where they follow it."""
        source = node.inputs[0]
        sizes = node.inputs[3] if len(node.inputs) > 3 else None
        if source is None or sizes is None or "axes" in node.attributes:
            return
        entries, follow = self.old.elements(sizes), self.new.elements(sizes)
        was, grown = self.old.dims(source) or (), self.followed.grown(source)
        if entries is None or follow is None or not any(entries[i] == follow[i] for i in grown):
            return
        for i in grown:
            if entries[i] != was[i]:
                raise Refused(f"it makes {entries[i]} of {was[i]} by its sizes {sizes.name!r}", where=called(node))
        said = self.targets.said
        parts = [Size(source, i) if i in grown else said(sizes, i, e) for i, e in enumerate(entries)]
        node.replace_input_with(3, self.targets.joined(node, parts))

    # ---- constants --------------------------------------------------------------------------

    def recurrent(self, node: ir.Node) -> None:
        """Initial states have the batch too; lengths that are all of the sequence need not be said."""
        source = node.inputs[0]
        layout = node.attributes.get("layout")
        axis = 0 if layout is not None and layout.as_int() else 1
        if source is None:
            return
        grown = self.followed.grown(source)
        lengths = node.inputs[4] if len(node.inputs) > 4 else None
        if lengths is not None and grown and self.edit.is_constant(lengths):
            tensor, steps = self.new.tensor(lengths), (self.old.dims(source) or ())[1 - axis]
            if tensor is None or (tensor.numpy() != steps).any():
                raise Refused(f"its lengths {lengths.name!r} do not follow the {self.name!r}", where=called(node))
            node.replace_input_with(4, None)
        for index in (5, 6):
            state = node.inputs[index] if index < len(node.inputs) else None
            if state is not None and axis in grown and not self.followed.grown(state):
                node.replace_input_with(index, self.along(node, state, Size(source, axis), axis))

    def concat(self, node: ir.Node) -> None:
        """Inputs agree on all axes but the one along which they are joined, where each has its own."""
        rank = next((len(d) for v in node.inputs if v is not None and (d := self.old.dims(v))), 0)
        if not rank:
            return
        joined = node.attributes["axis"].as_int() % rank
        follow = {v: self.followed.grown(v) for v in node.inputs if v is not None}
        if self.batch and any(joined in grown for grown in follow.values()):
            for value, grown in follow.items():
                if joined not in grown:
                    raise Refused(f"it joins {value.name!r} along the {self.name!r}", where=called(node))
        self.together(node, set(range(rank)) - {joined})

    def together(self, node: ir.Node, axes: Container[int]) -> None:
        """Inputs agree on `axes`: constants are expanded along what the others follow."""
        follow = [(v, i) for v in node.inputs if v is not None for i in self.followed.grown(v)]
        sizes = {axis: Size(source, axis) for source, axis in follow if axis in axes}
        for index, value in enumerate(node.inputs):
            for axis, size in sizes.items():
                if value is not None and axis not in self.followed.grown(value):
                    value = self.along(node, value, size, axis)
                    node.replace_input_with(index, value)

    def broadcast(self, node: ir.Node) -> None:
        """A constant that has the old size where the others follow becomes one row, if all its rows are equal."""
        inputs = [v for v in node.inputs if v is not None]
        if len(inputs) < 2 or self.followed.takes(node):
            return
        # From the last axis on, as shapes are broadcast.
        axes = sorted({i - len(self.old.dims(v) or ()) for v in inputs for i in self.followed.grown(v)})
        for index, value in enumerate(node.inputs):
            if value is None or self.followed.grown(value) or not self.followed.is_constant(value):
                continue
            dims: Dims = self.old.dims(value) or ()
            for axis in axes:
                if -axis <= len(dims) and dims[axis] != 1:
                    row = self._row(node, value, axis % len(dims))
                    node.replace_input_with(index, self.edit.constant(row, f"{value.name}/row"))

    def along(self, node: ir.Node, value: ir.Value, size: Size, axis: int) -> ir.Value:
        """A constant, expanded along an axis to a size that is known when the model runs."""
        row = self._row(node, value, axis)
        small = self.edit.constant(row, f"{value.name}/row")
        parts: Sequence[Part] = [size if i == axis else 1 for i in range(row.ndim)]
        expanded = self.edit.node("Expand", [small, self.targets.joined(node, parts)], base=value.name or "")
        return self.followed.put(expanded, node)

    def _row(self, node: ir.Node, value: ir.Value, axis: int) -> np.ndarray:
        """The one row that a constant is made of along an axis."""
        symbols = self.followed.symbols
        tensor = symbols.tensor(value) if symbols.is_constant(value) else None
        if tensor is None:
            raise Refused(f"{value.name!r} does not follow the {self.name!r}, and is no constant", where=called(node))
        array = tensor.numpy()
        row = array.take([0], axis)
        if not (array == row).all() and not np.array_equal(array, np.broadcast_to(row, array.shape), equal_nan=True):
            what = f"constant {value.name!r} of shape {list(array.shape)} differs along the {self.name!r} (axis {axis})"
            raise Refused(what, where=called(node), cure="what it is to be for other sizes nobody knows")
        return row


def _zero_keeps(node: ir.Node) -> bool:
    """Whether 0 in a target of Reshape means the dim of the source."""
    allowzero = node.attributes.get("allowzero")
    return allowzero is None or not allowzero.as_int()
