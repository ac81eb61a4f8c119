"""Make a fixed dim of the inputs dynamic, above all the batch.

    x [1, 3, 32, 100]                          x [batch, 3, 32, 100]
    f ── Reshape [1, 25, 512]          =>      f ── Reshape [0, 25, 512]
    LSTM (s, ..., zeros [2, 1, 256])           LSTM (s, ..., zeros expanded to the batch of s)

``dims=batch=0`` (the default) frees axis 0 of every input, ``dims=width=x.3`` an axis of one input, and
``dims=batch=x.0+mask.1`` the axes of several, as one dim. What the old size is written into is cured: targets of
Reshape and Expand, ends of Slice, sizes of Resize, states of LSTM, GRU and RNN, and constants that are joined with
what has the dim, as far as they are the same all along it.

Why: exports at a fixed batch are what most scripts make, and simplifiers (onnxslim and onnxsim with an input shape)
write the batch into the graph; throughput wants batches (MMOCR and PaddleOCR recognise in batches).
Numbers: nothing is computed otherwise. A batch of N is compared with N runs of the model before, one after the other;
rounding may differ, as runtimes choose kernels by size.
Refuses: a constant that differs along the dim, or a node that takes one index of it, drops, sums or fixes it, by the
node's name and the constant's; sub-graphs and functions that read what has the dim. Where the old size is 1 it can
stand for anything: it is taken to stay where it stands among the other axes, and for the batch the comparison decides.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from surgery import BadInput, Close, Contradiction, Edit, Extents, Pass, Refused

# The size that is followed in place of the old one is this many times it: no size that occurs.
RATIO = 1009
END = (1 << 63) - 1
# Sizes to take for dims that are free already: for axis 0, for those of images, and for others.
OTHERS = ((2, 64, 12), (2, 48, 12), (2, 32, 64), (1, 224, 20), (2, 320, 128), (1, 640, 512))
RECURRENT = ("LSTM", "GRU", "RNN")
# Inputs that have the batch in common, which onnx's inference does not hold them to.
TOGETHER = ("GridSample", "GatherElements", "ScatterElements")


Dims = tuple[Any, ...]  # int, the name of a symbol, or None
Part = Any  # of a target: numbers, (a target, which of its entries), or (a tensor, which of its dims, 0)


class FreeDims(Pass):
    contract = Close()
    interface = ("dims",)
    dims: dict[str, str] = {"batch": "0"}  # names for what is freed: batch=0, width=x.3, batch=x.0+mask.1

    def apply(self, model):
        places = 0
        edit = Edit(model, self.name)
        for name, text in self.dims.items():
            if not name.isidentifier():  # a number would read as a size, and none as any
                raise BadInput(f"a dim can't have the name {name!r}", where=f"dims={name}={text}", cure="take a word")
            axes = [a for a in asked(model, name, text) if isinstance(dims_of(a.value)[a.axis], int)]
            if axes:
                freeing = Freeing(edit, name, axes)
                freeing.run()
                places += len(axes) + len(freeing.cured)
                if freeing.cured:
                    self.note(f"{name!r} was {freeing.unit} in {', '.join(freeing.cured)}")
        return places


class Axis(NamedTuple):
    """An axis of an input."""

    value: ir.Value
    axis: int

    @property
    def size(self) -> int:
        """What it is."""
        return int(self.value.shape[self.axis])  # type: ignore[index,arg-type]


def asked(model: ir.Model, name: str, text: str) -> list[Axis]:
    """The axes that an option names."""
    inputs = {v.name: v for v in model.graph.inputs if v.const_value is None and v.shape is not None}
    shapes = "; ".join(f"{n} [{', '.join(map(str, v.shape or ()))}]" for n, v in inputs.items())
    found: list[Axis] = []
    for part in text.split("+"):
        of, _, axis = part.rpartition(".")
        some = [v for n, v in inputs.items() if of in ("", n)]
        reach = [
            Axis(v, int(axis)) for v in some if axis.isdigit() and v.shape is not None and int(axis) < len(v.shape)
        ]
        if not reach:
            raise BadInput(f"no input has the axis {part!r}", where=f"dims={name}={text}", cure=f"there is: {shapes}")
        found += reach
    symbols = {d.value for v in inputs.values() for d in v.shape or () if not isinstance(d, int)}
    fixed = [a for a in found if isinstance(a.value.shape[a.axis], int)]  # type: ignore[index]
    if fixed and name in symbols and len(fixed) == len(found):
        raise BadInput(f"an input has a dim {name!r} already", cure=f"take another name; there is: {shapes}")
    sizes = {a.size for a in fixed}
    if len(sizes) > 1:
        where = ", ".join(f"{a.value.name}.{a.axis} is {a.size}" for a in fixed)
        raise Refused(f"dims of unlike sizes can't be one: {where}", where=f"dim {name!r}", cure="name fewer of them")
    return found


class Freeing:
    """One dim is freed: the graph is followed at the old size and at another, and cured where it does not follow."""

    def __init__(self, edit: Edit, name: str, axes: list[Axis]) -> None:
        self.edit = edit
        self.name = name
        self.axes = axes
        self.unit = axes[0].size
        self.graph = edit.model.graph
        self.batch = all(a.axis == 0 for a in axes)  # its parts do not know of each other
        self.cured: list[str] = []
        self.sizes: dict[tuple[ir.Value, int], ir.Value] = {}  # where a dim has been read from a tensor

    def run(self) -> None:
        """Cure the graph, then declare."""
        symbolic = {v: dims_of(v) for v in self.graph.inputs if v.shape is not None}
        self.symbols = Extents(self.edit, symbolic)
        self.symbols.walk()
        was = self._bound(symbolic)
        now = dict(was)
        for value, axis in self.axes:
            now[value] = tuple(d * RATIO if i == axis else d for i, d in enumerate(now[value]))
        self.old = Extents(self.edit, was, declared=False)
        self.new = Extents(self.edit, now, declared=False)
        for node in list(self.graph):
            self.old.step(node)
            if any(v is not None and self.grown(v) for v in reads(node)) or self.moved(node):
                self.cure(node)
            if node.graph is not None:
                self.step(node)
                self.hold(node)
        self.declare()

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
        raise Refused(f"no sizes were found that it takes: {fault}", where=label(fault.node))

    # ---- following --------------------------------------------------------------------------

    def grown(self, value: ir.Value) -> list[int]:
        """The axes of a tensor that follow the freed dim."""
        was, now = self.old.dims(value), self.new.dims(value)
        if was is None or now is None or len(was) != len(now):
            return []
        return [i for i, (a, b) in enumerate(zip(was, now, strict=True)) if a != b]

    def moved(self, node: ir.Node) -> bool:
        """Whether a node's target, say, follows the freed dim."""
        for value in node.inputs[1:]:
            if value is not None:
                was, now = self.old.elements(value), self.new.elements(value)
                if was is not None and now is not None and was.tolist() != now.tolist():
                    return True
        return False

    def step(self, node: ir.Node) -> None:
        """Follow a node at the new size."""
        try:
            self.new.step(node)
        except Contradiction as fault:
            constants = [f"{v.name!r}" for v in node.inputs if v is not None and self.edit.is_constant(v)]
            by = f", of which {', '.join(constants)} can't be told how to follow" if constants else ""
            what = f"it does not take another {self.name!r} than {self.unit}{by}: {fault}"
            raise Refused(what, where=label(node)) from None

    def hold(self, node: ir.Node) -> None:
        """Refuse where a node loses the dim, or nobody knows what it does with it."""
        sources = [v for v in reads(node) if self.grown(v)]
        if not sources or node.op_type in ("Shape", "Size"):
            return
        read = [v for v in node.outputs if v.uses() or v.is_graph_output()]
        lost = [v for v in read if not self.grown(v)]
        unknown = [v for v in read if self.new.dims(v) is None or None in (self.new.dims(v) or ())]
        if unknown:
            what = f"what it makes of {sources[0].name!r}, which has the {self.name!r}, can't be told"
            raise Refused(what, where=label(node), cure="rewrite it first, or leave the dim fixed")
        if self.batch and len(lost) == len(read) > 0:
            constants = [f"{v.name!r}" for v in node.inputs if v is not None and self.edit.is_constant(v)]
            by = f" by constant {', '.join(constants)}" if constants else ""
            raise Refused(f"{sources[0].name!r} loses the {self.name!r} here{by}", where=label(node))

    # ---- cures ------------------------------------------------------------------------------

    def cure(self, node: ir.Node) -> None:
        """Take the old size out of what the node reads, where it stands there."""
        if node.domain:
            return
        before = list(node.inputs)
        if node.op_type == "Reshape":
            self.reshape(node)
        elif node.op_type == "Expand":
            self.expand(node)
        elif node.op_type == "Slice":
            self.slice(node)
        elif node.op_type == "Resize":
            self.resize(node)
        elif node.op_type in RECURRENT:
            self.recurrent(node)
        elif node.op_type == "Concat":
            axis = node.attributes["axis"].as_int()
            rank = next((len(d) for v in node.inputs if v is not None and (d := self.old.dims(v))), 0)
            self.together(node, but=axis % rank if rank else None)
        elif node.op_type in TOGETHER:
            self.together(node)
        else:
            self.broadcast(node)
        if node.graph is None:
            return
        gone = [v for v, w in zip(before, node.inputs, strict=False) if v is not None and v is not w]
        if gone:
            self.cured.append(label(node))
        for value in gone:
            self.drop(value)

    def reshape(self, node: ir.Node) -> None:
        source, target = node.inputs
        assert source is not None and target is not None
        was, now, out = self.old.dims(source), self.new.dims(source), self.old.dims(node.outputs[0])
        if was and out and (move := moves(was, self.grown(source), out)):
            self.move(node, *move)
            return
        wanted = None if was is None or now is None or out is None else regrouped(was, now, out, self.unit)
        if wanted is None or out is None or now is None or was is None:
            raise Refused(
                f"it can't be told where the {self.name!r} goes in its target {target.name!r}", where=label(node)
            )
        elements = self.new.elements(target)
        if elements is not None and resolved(list(elements.flat), now) == wanted:
            return
        allowzero = node.attributes.get("allowzero")
        keeps = allowzero is None or not allowzero.as_int()
        grown = [i for i, (a, b) in enumerate(zip(out, wanted, strict=True)) if a != b]
        said = self.old.elements(target)
        if said is None:
            raise Refused(f"nothing is known of its target {target.name!r}", where=label(node))
        entries = said.tolist()
        constant = self.edit.is_constant(target)
        rest = []
        for i in grown:
            same = i < len(now) and now[i] == wanted[i] and was[i] == out[i]
            entries[i] = 0 if same and keeps else -1
            rest += [] if entries[i] == 0 else [i]
        for i, entry in enumerate(entries):
            if entry == -1 and rest and i not in grown:  # there can be one -1
                dims = self.symbols.dims(node.outputs[0])
                known = dims[i] if dims is not None else None
                if not isinstance(known, int):
                    raise Refused(f"two dims of its target {target.name!r} would have to be found", where=label(node))
                entries[i] = known
        if len(rest) > 1:
            raise Refused(f"two dims of its target {target.name!r} follow the {self.name!r}", where=label(node))
        if constant:
            node.replace_input_with(1, self.edit.constant(np.array(entries, np.int64), f"{target.name}/free"))
            return
        parts = [np.array([e], np.int64) if i in grown else self.said(target, i, e) for i, e in enumerate(entries)]
        self.pieces(node, 1, parts)

    def move(self, node: ir.Node, of: int, to: int) -> None:
        """A Reshape that moves the dim past others, which only one of size 1 bears, is reshaped row by row."""
        source, target = node.inputs
        assert source is not None and target is not None
        out = self.symbols.dims(node.outputs[0]) or ()
        row = [d for i, d in enumerate(out) if i != to]
        if not all(isinstance(d, int) for d in row):
            raise Refused(f"its target {target.name!r} moves the {self.name!r} past dims not known", where=label(node))
        value: ir.Value = source
        rank = len(self.old.dims(source) or ())
        if of:
            front = {"perm": [of, *(i for i in range(rank) if i != of)]}
            value = self.insert(node, self.edit.node("Transpose", [value], front, base=node.name or ""))
        shape = self.edit.constant(np.array([-1, *row], np.int64), f"{target.name}/free")
        value = self.insert(node, self.edit.node("Reshape", [value, shape], base=node.name or ""))
        if to:
            back = {"perm": [*range(1, to + 1), 0, *range(to + 1, len(out))]}
            value = self.insert(node, self.edit.node("Transpose", [value], back, base=node.name or ""))
        self.cured.append(label(node))
        self.edit.replace(node, [value])

    def expand(self, node: ir.Node) -> None:
        source, target = node.inputs
        assert source is not None and target is not None
        dims, entries = self.new.dims(source) or (), self.old.elements(target)
        if entries is None:
            return
        baked = [i for i in self.grown(source) if 1 != entries[i + len(entries) - len(dims)] != dims[i]]
        if not baked or self.takes(node):
            return
        offset = len(entries) - len(dims)
        one = np.ones(1, np.int64)
        self.pieces(node, 1, [one if i - offset in baked else self.said(target, i, e) for i, e in enumerate(entries)])

    def slice(self, node: ir.Node) -> None:
        """A Slice that took all of the dim takes all of it."""
        source = node.inputs[0]
        if source is None or len(node.inputs) < 3:
            return
        was = self.old.dims(source) or ()
        starts, ends, axes, steps = (self._whole(node, i) for i in (1, 2, 3, 4))
        if starts is None or ends is None:
            return
        axes = list(range(len(starts))) if axes is None else [a % len(was) for a in axes]
        free = list(ends)
        for k, axis in enumerate(axes):
            whole = starts[k] == 0 and (steps is None or steps[k] == 1)
            if axis in self.grown(source) and whole and ends[k] == was[axis]:
                free[k] = END
        if free != list(ends) and (target := node.inputs[2]) is not None and self.edit.is_constant(target):
            dtype = self.new.tensor(target).dtype.numpy()  # type: ignore[union-attr]
            free = [min(e, int(np.iinfo(dtype).max)) for e in free]
            node.replace_input_with(2, self.edit.constant(np.array(free, dtype), f"{target.name}/free"))

    def _whole(self, node: ir.Node, index: int) -> list[int] | None:
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
        was, grown = self.old.dims(source) or (), self.grown(source)
        if entries is None or follow is None or not any(entries[i] == follow[i] for i in grown):
            return
        for i in grown:
            if entries[i] != was[i]:
                raise Refused(f"it makes {entries[i]} of {was[i]} by its sizes {sizes.name!r}", where=label(node))
        self.pieces(node, 3, [(source, i, 0) if i in grown else self.said(sizes, i, e) for i, e in enumerate(entries)])

    def said(self, target: ir.Value, index: int, entry: int) -> "np.ndarray | tuple[ir.Value, int]":
        """An entry of a target as it is: a number if it always is that, else read from it when the model runs."""
        return np.array([entry], np.int64) if self.edit.is_constant(target) else (target, index)

    def recurrent(self, node: ir.Node) -> None:
        """Initial states have the batch too; lengths that are all of the sequence need not be said."""
        source = node.inputs[0]
        layout = node.attributes.get("layout")
        axis = 0 if layout is not None and layout.as_int() else 1
        if source is None:
            return
        grown = self.grown(source)
        lengths = node.inputs[4] if len(node.inputs) > 4 else None
        if lengths is not None and grown and self.edit.is_constant(lengths):
            tensor, steps = self.new.tensor(lengths), (self.old.dims(source) or ())[1 - axis]
            if tensor is None or (tensor.numpy() != steps).any():
                raise Refused(f"its lengths {lengths.name!r} do not follow the {self.name!r}", where=label(node))
            node.replace_input_with(4, None)
        for index in (5, 6):
            state = node.inputs[index] if index < len(node.inputs) else None
            if state is not None and axis in grown and not self.grown(state):
                node.replace_input_with(index, self.along(node, state, axis, source, axis))

    def together(self, node: ir.Node, but: int | None = None) -> None:
        """Inputs that agree on all axes, or all `but` one: constants are expanded along what the others follow."""
        sources = [(v, i) for v in node.inputs if v is not None for i in self.grown(v)]
        for index, value in enumerate(node.inputs):
            for source, axis in {i: (s, i) for s, i in sources}.values():
                if value is None or axis in self.grown(value):
                    continue
                if axis == but:
                    if self.batch:
                        raise Refused(f"it joins {value.name!r} along the {self.name!r}", where=label(node))
                    continue
                if node.op_type not in ("Concat",) and axis != 0:
                    continue
                value = self.along(node, value, axis, source, axis)
                node.replace_input_with(index, value)

    def broadcast(self, node: ir.Node) -> None:
        """A constant that has the old size where the others follow becomes one row, if all its rows are equal."""
        ranks = [len(self.old.dims(v) or ()) for v in node.inputs if v is not None]
        axes = {i - len(self.old.dims(v) or ()) for v in node.inputs if v is not None for i in self.grown(v)}
        if len(ranks) < 2 or self.takes(node):
            return
        for index, value in enumerate(node.inputs):
            if value is None or self.grown(value) or not self.is_constant(value):
                continue
            dims = self.old.dims(value) or ()
            for axis in sorted(axes):
                if -axis <= len(dims) and dims[axis] != 1:
                    row = self.row(node, value, axis % len(dims))
                    node.replace_input_with(index, self.edit.constant(row, f"{value.name}/row"))

    def takes(self, node: ir.Node) -> bool:
        """Whether a node takes the new size as it is."""
        try:
            self.new.step(node)
        except Contradiction:
            return False
        return True

    # ---- constants --------------------------------------------------------------------------

    def is_constant(self, value: ir.Value) -> bool:
        """Whether a value is the same whatever the inputs hold, and whatever their free dims are."""
        return self.symbols.is_constant(value) and self.symbols.tensor(value) is not None

    def row(self, node: ir.Node, value: ir.Value, axis: int) -> np.ndarray:
        """The one row that a constant is made of along an axis."""
        tensor = self.symbols.tensor(value) if self.symbols.is_constant(value) else None
        if tensor is None:
            raise Refused(f"{value.name!r} does not follow the {self.name!r}, and is no constant", where=label(node))
        array = tensor.numpy()
        row = array.take([0], axis)
        if not (array == row).all() and not np.array_equal(array, np.broadcast_to(row, array.shape), equal_nan=True):
            what = f"constant {value.name!r} of shape {list(array.shape)} differs along the {self.name!r} (axis {axis})"
            raise Refused(what, where=label(node), cure="what it is to be for other sizes nobody knows")
        return row

    def along(self, node: ir.Node, value: ir.Value, axis: int, source: ir.Value, of: int) -> ir.Value:
        """A constant, expanded along an axis to what the axis `of` of `source` is when the model runs."""
        row = self.row(node, value, axis)
        small = self.edit.constant(row, f"{value.name}/row")
        dims = [np.ones(1, np.int64)] * row.ndim
        parts: list[Part] = [(source, of, 0) if i == axis else one for i, one in enumerate(dims)]
        expanded = self.edit.node("Expand", [small, self.joined(node, parts)], base=value.name or "")
        self.insert(node, expanded)
        return expanded.outputs[0]

    def pieces(self, node: ir.Node, index: int, parts: Sequence[Part]) -> None:
        """Let a node read a target that is put together of constants, entries of a target, and dims."""
        node.replace_input_with(index, self.joined(node, parts))

    def joined(self, node: ir.Node, parts: Sequence[Part]) -> ir.Value:
        """Constants, (target, entry) and (tensor, axis, 0) as one tensor of whole numbers."""
        values: list[ir.Value] = []
        waiting: list[np.ndarray] = []
        for part in parts:
            if isinstance(part, np.ndarray):
                waiting.append(part)
                continue
            if waiting:
                values.append(self.edit.constant(np.concatenate(waiting)))
                waiting = []
            values.append(self.size(node, part[0], part[1]) if len(part) == 3 else self.entry(node, *part))
        if waiting:
            values.append(self.edit.constant(np.concatenate(waiting)))
        if len(values) == 1:
            return values[0]
        return self.insert(node, self.edit.node("Concat", values, {"axis": 0}, base=node.name or node.op_type))

    def size(self, node: ir.Node, source: ir.Value, axis: int) -> ir.Value:
        """A dim of a tensor, [1]."""
        if (source, axis) not in self.sizes:
            shape = self.insert(node, self.edit.node("Shape", [source], base=source.name or ""))
            self.sizes[source, axis] = self.entry(node, shape, axis)
        return self.sizes[source, axis]

    def entry(self, node: ir.Node, target: ir.Value, index: int) -> ir.Value:
        """One entry of a tensor of whole numbers, [1]."""
        number = self.edit.constant(np.array([index], np.int64))
        return self.insert(node, self.edit.node("Gather", [target, number], {"axis": 0}, base=target.name or ""))

    def insert(self, node: ir.Node, new: ir.Node) -> ir.Value:
        self.graph.insert_before(node, new)
        self.old.step(new)
        self.new.step(new)
        return new.outputs[0]

    def drop(self, value: ir.Value) -> None:
        """Remove a constant that nothing reads any more."""
        if value.uses() or value.is_graph_output() or value.is_graph_input():
            return
        maker = value.producer()
        if maker is not None:
            if not any(v.uses() or v.is_graph_output() for v in maker.outputs):
                self.edit.remove([maker])
        elif value.is_initializer():
            del self.graph.initializers[value.name or ""]

    # ---- declaring --------------------------------------------------------------------------

    def declare(self) -> None:
        """Name the dim in the inputs, and in whatever declared the old size."""
        for value, axis in self.axes:
            assert value.shape is not None
            value.shape = ir.Shape([self.name if i == axis else d for i, d in enumerate(value.shape)])
        for node in self.graph:
            for value in node.outputs:
                if value.shape is not None and (grown := self.grown(value)):
                    now = self.new.dims(value) or ()
                    # What was the old size and is the new one, is the dim; both together are no coincidence.
                    named = [
                        d if i not in grown else self.name if now[i] == self.unit * RATIO else self._other(value, i)
                        for i, d in enumerate(dims_of(value))
                    ]
                    value.shape = ir.Shape(named)

    def _other(self, value: ir.Value, axis: int) -> str:
        """A name for a dim that follows the freed one, and is not it."""
        return f"{self.name}_{value.name}_{axis}"


def regrouped(was: Dims, now: Dims, out: Dims, unit: int) -> Dims | None:
    """The dims that a reshape from `was` to `out` has to give for `now`, so that every element keeps its place.

    None: that can't be told. `unit` is the old size of what is freed, which may be part of a longer dim.
    """
    if not all(isinstance(d, int) for d in (*was, *now, *out)) or 0 in (*was, *out):
        return None
    wanted = list(out)
    for axis, (size, grown) in enumerate(zip(was, now, strict=True)):
        if size == grown:
            continue
        share = unit if grown == size * RATIO and size % unit == 0 else size
        place = home(was, axis, out, share)
        if place is None or wanted[place] % share:
            return None
        wanted[place] = wanted[place] // share * (grown * share // size)
    return tuple(wanted) if product(wanted) == product(now) else None


def product(dims: Iterable[int]) -> int:
    """The number of elements."""
    return math.prod(dims)


def moves(was: Dims, grown: list[int], out: Dims) -> tuple[int, int] | None:
    """From where to where a reshape moves the one axis that grows, if it moves it past others.

    It can if the axis is one element long; simplifiers make a reshape of such a transpose.
    """
    if len(grown) != 1 or was[grown[0]] != 1 or not all(isinstance(d, int) for d in (*was, *out)):
        return None
    before = product(was[: grown[0]])
    ones = [i for i, d in enumerate(out) if d == 1]
    if not ones or any(product(out[:i]) == before for i in ones):
        return None
    return grown[0], ones[0]


def home(was: Dims, axis: int, out: Dims, share: int) -> int | None:
    """The axis of `out` that the freed dim, `share` long and part of an axis of `was`, comes into."""
    before, size = product(was[:axis]), was[axis]
    starts = [product(out[:i]) for i in range(len(out))]
    if size != share:  # it lies somewhere in there: an axis of its own, else the first that it may be part of
        inside = [i for i, start in enumerate(starts) if before <= start <= before * size and out[i] % share == 0]
        own = [i for i in inside if out[i] == share and (share == 1 or starts[i] < before * size)]
        longer = [i for i in inside if starts[i] < before * size and out[i] > 1]
        return next(iter(own + longer), None)
    if size > 1:
        for i, start in enumerate(starts):
            if before % start == 0 and out[i] % (before // start * size) == 0:
                return i
        return None
    # One element long, it can come anywhere between its neighbours: rather beside as many ones as before,
    ones = [i for i, start in enumerate(starts) if start == before and out[i] == 1]
    if ones:
        earlier = sum(1 for i in range(axis) if was[i] == 1 and product(was[:i]) == before)
        return ones[min(earlier, len(ones) - 1)]
    # else into the axis before, which it then is part of, else into the one after.
    left = [i for i, start in enumerate(starts) if start < before <= start * out[i]]
    right = [i for i, start in enumerate(starts) if start == before]
    return next(iter(left + right), None)


def resolved(entries: list[Any], dims: Dims) -> Dims | None:
    """The dims that a target makes of `dims`; None if it does not fit."""
    out = [dims[i] if e == 0 and i < len(dims) else e for i, e in enumerate(entries)]
    if not all(isinstance(e, int) for e in (*out, *dims)):
        return None
    total, known = product(dims), product(e for e in out if e != -1)
    if -1 in out:
        if not known or total % known:
            return None
        out = [total // known if e == -1 else e for e in out]
    return tuple(out) if product(out) == total else None


def dims_of(value: ir.Value) -> Dims:
    """The dims that are declared."""
    return tuple(d if isinstance(d, int) else d.value for d in value.shape or ())


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, its sub-graphs too."""
    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
            for inner in attribute.as_graph():
                yield from reads(inner)


def label(node: ir.Node) -> str:
    """How to call a node."""
    return f"{node.op_type} {(node.name or node.outputs[0].name)!r}"
