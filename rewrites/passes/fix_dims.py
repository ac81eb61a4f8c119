"""Fix dims of the inputs, and put declared dims in order.

    x [-1, 3, ?, ?]                    =>      x [1, 3, 48, width]
    x ── Shape ── Slice ── Concat ─┐           x ── Reshape [1, 120, -1] ── y [1, 120, width]
    x ───────────────────────── Reshape ── y

``dims=batch=1;width=320`` fixes symbols, by the names that the model has or gets here, or an axis, ``x.2=48``;
``shape=x=1x3x48x?`` fixes an input, where ``?`` leaves a dim as it is. What is constant by then is folded: chains of
Shape, targets of Reshape and Expand, sizes of Resize (or its scales, where a dim stays free), NonZero of constants.
Without either, dims are put in order and nothing is folded: negative ones, ``?``, and names that exporters number
(``p2o.DynamicDimension.0``, ``unk__3``) become ``batch``, ``height``, ``width``, or the input's name and the axis;
outputs get the names of the inputs' dims that they have; declared shapes of inner tensors that contradict what the
nodes make are dropped.

Why: compilers want static shapes, or profiles of named dims (ATC --input_shape, TensorRT --minShapes), and read a
negative dim or ``?`` in ways of their own. Paddle2ONNX up to 1.3 writes both, and names the batch twice.
``python -m paddle2onnx.optimize --input_shape_dict`` writes -1 as a number, keeps stale shapes, with which ONNX Runtime
fails ("Shape mismatch attempting to re-use buffer"), and drops shapes of outputs that onnx's checker asks for.
Numbers: constants are folded by ONNX Runtime, with the kernels that would compute them. What reads one may round
otherwise: a constant matrix, say, is packed beforehand.
Refuses: dims that a node can't take, by its name; a dim that is already another number; two wishes for one dim.
What nodes make of dims is onnx's shape inference, node by node, with symbols. Where that loses an output's dim
(convolutions compute heights), it is tied to a dim of an input if inference at several unlike sizes gives that dim
each time; no data is run for it.
"""

import math
import re
from collections.abc import Iterable, Iterator
from itertools import count

import numpy as np
import onnx_ir as ir

from surgery import BadInput, Close, Contradiction, Edit, Extents, Pass, Refused

# Names that say nothing: exporters and shape inference number them.
NUMBERED = re.compile(r"\?|-?\d+|unk__\d+|(p2o\.)?DynamicDimension\.\d+|None|")
IMAGE = ("batch", "channels", "height", "width")
SEQUENCE = ("batch", "length")
# Sizes to infer at: by the axis, where the rank is 4; else the first for the batch and the last for the rest.
SIZES = {
    0: (2, 3, 5, 2, 3, 5, 7, 4),
    1: (3, 3, 3, 1, 1, 3, 4, 16),
    2: (64, 96, 160, 48, 32, 48, 224, 320),
    3: (96, 160, 64, 320, 100, 192, 288, 416),
    4: (12, 20, 33, 64, 7, 128, 50, 16),
}
Dim = int | str | None


class FixDims(Pass):
    contract = Close()
    interface = ("dims",)
    dims: dict[str, int] = {}  # sizes by symbol, or by input and axis: batch=1;x.2=48
    shape: dict[str, str] = {}  # shapes by input: x=1x3x48x?

    def apply(self, model):
        inputs = Inputs([v for v in model.graph.inputs if v.const_value is None and isinstance(v.type, ir.TensorType)])
        bound = inputs.bind(self.dims, self.shape)
        edit = Edit(model, self.name)
        declared = Declared(model, inputs.renamed)
        try:
            extents = Extents(edit, inputs.dims)
            extents.walk()
            if extents.faults and bound:
                refuse(extents.faults, inputs, edit)
            places = inputs.declare()
            if self.dims or self.shape:
                folded = fold(edit, extents) + freed(edit, extents) + rescaled(edit, extents)
                places += folded
                known = f"from now on {', '.join(bound)}: " if bound else ""
                which = "1 node" if folded == 1 else f"{folded} nodes"
                self.note(f"{known}{which} became constant or gained a constant")
            for fault in extents.faults:
                self.note(f"{fault.node.name or fault.node.op_type} was at odds with its shapes before: {fault}")
            places += declared.outputs(extents, inputs, edit)
        except BaseException:
            declared.restore()
            raise
        return places + declared.inner(extents, inputs, trusted=places == 0)


class Inputs:
    """The inputs' dims: as they are declared, in order, and with those bound that are asked for."""

    def __init__(self, values: list[ir.Value]) -> None:
        self.values = values
        self.was: dict[ir.Value, tuple[Dim, ...] | None] = {v: declared_dims(v) for v in values}
        self.renamed: dict[str, Dim] = {}  # what became of a symbol
        taken = {d for dims in self.was.values() for d in dims or () if isinstance(d, str) and not numbered(d)}
        self.dims: dict[ir.Value, tuple[Dim, ...]] = {}
        for value, dims in self.was.items():
            if dims is not None:
                named = (self._name(value, axis, dims, taken) for axis in range(len(dims)))
                self.dims[value] = tuple(named)
        self.free = dict(self.dims)  # before anything is bound

    def _name(self, value: ir.Value, axis: int, dims: tuple[Dim, ...], taken: set[str]) -> Dim:
        dim = dims[axis]
        if isinstance(dim, int) and dim >= 0:
            return dim
        if isinstance(dim, str) and not numbered(dim):
            return dim
        if not isinstance(dim, str) or "DynamicDimension" not in dim:
            return fresh(value.name or "x", axis, len(dims), taken)
        if dim not in self.renamed:  # such a name means one dim wherever it stands
            self.renamed[dim] = fresh(value.name or "x", axis, len(dims), taken)
        return self.renamed[dim]

    @property
    def symbols(self) -> list[str]:
        """All symbols, in the order in which they stand."""
        return list(dict.fromkeys(d for dims in self.dims.values() for d in dims if isinstance(d, str)))

    def bind(self, dims: dict[str, int], shape: dict[str, str]) -> list[str]:
        """Fix what is asked for; returns it in words."""
        by_name = {v.name: v for v in self.values}
        sizes: dict[str, int] = {}
        for key, size in dims.items():
            if not 0 < size < 2**31:
                raise BadInput(f"a dim can't be {size}", where=key)
            name, _, axis = key.rpartition(".")
            if key in self.symbols or key in self.renamed:
                symbol = str(self.renamed.get(key, key))
                self._wish(sizes, symbol, size, f"dims={key}")
            elif name in by_name and axis.isdigit() and int(axis) < len(self.dims.get(by_name[name], ())):
                self._bind(by_name[name], int(axis), size, sizes, f"dims={key}")
            else:
                raise BadInput(f"no dim of an input is called {key!r}", cure=self._what_there_is())
        for key, text in shape.items():
            if key not in by_name:
                raise BadInput(f"there is no input {key!r}", cure=self._what_there_is())
            value, asked = by_name[key], text.split("x")
            if not all(a == "?" or (a.isdecimal() and 0 < int(a) < 2**31) for a in asked):
                raise BadInput(f"{text!r} is no shape", where=key, cure="one is written 1x3x48x320, ? for a free dim")
            if value not in self.dims:
                self.dims[value] = tuple(fresh(key, i, len(asked), set(self.symbols)) for i in range(len(asked)))
                self.free[value] = self.dims[value]
            if len(asked) != len(self.dims[value]):
                raise Refused(f"it has {len(self.dims[value])} axes, not {len(asked)}", where=f"input {key!r}")
            for i, one in enumerate(asked):
                if one != "?":
                    self._bind(value, i, int(one), sizes, f"shape={key}={text}")
        self.renamed |= sizes
        self.renamed |= {old: sizes[new] for old, new in self.renamed.items() if new in sizes}
        self.dims = {v: tuple(sizes.get(d, d) if isinstance(d, str) else d for d in ds) for v, ds in self.dims.items()}
        return [f"{name} is {size}" for name, size in sizes.items()]

    def _bind(self, value: ir.Value, axis: int, size: int, sizes: dict[str, int], wish: str) -> None:
        dim = self.dims[value][axis]
        if isinstance(dim, str):
            self._wish(sizes, dim, size, wish)
        elif dim != size:
            cure = "a number is no wish; free-dims makes some free" if axis == 0 else ""
            raise Refused(f"axis {axis} is {dim}, and can't be {size}", where=f"input {value.name!r}", cure=cure)

    @staticmethod
    def _wish(sizes: dict[str, int], symbol: str, size: int, wish: str) -> None:
        if sizes.setdefault(symbol, size) != size:
            raise Refused(f"it is to be {sizes[symbol]} and {size}", where=f"dim {symbol!r}", cure=f"see {wish}")

    def _what_there_is(self) -> str:
        shapes = (f"{v.name} [{', '.join(map(str, dims))}]" for v, dims in self.dims.items())
        return f"there is: {'; '.join(shapes)}"

    def declare(self) -> int:
        """Write the dims into the model; returns how many changed."""
        changed = 0
        for value, dims in self.dims.items():
            was = self.was[value]
            changed += len(dims) if was is None else sum(a != b for a, b in zip(was, dims, strict=True))
            if was != dims:
                value.shape = ir.Shape(dims)
        return changed

    def settings(self) -> Iterator[tuple[dict[str, int], dict[ir.Value, tuple[Dim, ...]]]]:
        """Sizes of all symbols, and the inputs' dims at them."""
        for i in range(len(SIZES[0])):
            sizes: dict[str, int] = {}
            for dims in self.dims.values():
                for axis, dim in enumerate(dims):
                    if isinstance(dim, str):
                        sizes.setdefault(dim, SIZES[axis if len(dims) == 4 or axis == 0 else 4][i])
            yield (
                sizes,
                {v: tuple(sizes.get(d, d) if isinstance(d, str) else d for d in ds) for v, ds in self.dims.items()},
            )


class Declared:
    """The shapes that the model declares of outputs and inner tensors; taken off while they may be wrong."""

    def __init__(self, model: ir.Model, renamed: dict[str, Dim]) -> None:
        self.model = model
        self.renamed = renamed
        outputs = [v for v in model.graph.outputs if isinstance(v.type, ir.TensorType)]
        known = {*outputs, *model.graph.inputs}
        # What a standard operator makes is inferred; of others there is nothing but what is declared.
        made = [v for n in model.graph if n.domain == "" for v in n.outputs]
        self.shapes = {v: v.shape for v in (*outputs, *(v for v in made if v not in known and v.shape is not None))}
        self.results = outputs
        for value in self.shapes:
            value.shape = None

    def restore(self) -> None:
        """Put everything back."""
        for value, shape in self.shapes.items():
            value.shape = shape

    def outputs(self, extents: Extents, inputs: Inputs, edit: Edit) -> int:
        """Declare what the outputs have; returns how many dims changed."""
        live = set(inputs.symbols)
        found: dict[ir.Value, list[Dim] | None] = {}
        for value in self.results:
            seen = extents.dims(value)
            found[value] = None if seen is None else [d if isinstance(d, int) or d in live else None for d in seen]
        tied = Ties(edit, inputs, self.results) if any(d is None or None in d for d in found.values()) else None
        changed = 0
        for value, dims in found.items():
            shape = self.shapes[value]
            was = None if shape is None else [d if isinstance(d, int) else d.value for d in shape]
            rank = tied.rank(value) if dims is None and tied else None
            if dims is None and rank is None and was is None:
                continue
            dims = dims or [None] * (rank if rank is not None else len(was or ()))
            for axis, dim in enumerate(dims):
                if dim is None and tied:
                    dims[axis] = tied.dim(value, axis)
                if dims[axis] is None:
                    dims[axis] = self._own(value, axis, was, len(dims), live, tied)
            changed += len(dims) if was is None else sum(a != b for a, b in zip(was, dims, strict=False))
            value.shape = ir.Shape(dims)
        return changed

    def _own(self, value, axis: int, was: list[Dim] | None, rank: int, live: set[str], tied: "Ties | None") -> Dim:
        """What to call a dim that is none of the inputs'."""
        old = was[axis] if was is not None and axis < len(was) else None
        if isinstance(old, int) and old >= 0 and (tied is None or tied.always(value, axis, old)):
            return old
        if isinstance(old, str) and (old in self.renamed or not numbered(old)):
            # What the exporter says, where nothing that was inferred says otherwise.
            said = self.renamed.get(old, old)
            if tied is None or (tied.always(value, axis, said) and (said not in live or tied.could(value, axis, said))):
                return said
        return fresh(value.name or "y", axis, rank, live)

    def inner(self, extents: Extents, inputs: Inputs, *, trusted: bool) -> int:
        """Declare again what was declared of inner tensors and holds; returns 1 if something did not.

        Numbers that inference does not find are believed only where all else was in order: `trusted`.
        """
        stale = False
        live = set(inputs.symbols)
        for value, shape in self.shapes.items():
            maker = value.producer()
            if shape is None or value in self.results or maker is None or maker.graph is None:
                continue
            was = tuple(d if isinstance(d, int) else d.value for d in shape)
            dims = extents.dims(value)
            if (
                dims is not None
                and len(dims) == len(was)
                and all(agrees(w, d, trusted) for w, d in zip(was, dims, strict=True))
            ):
                value.shape = shape
                continue
            stale = True
            if dims is not None and all(isinstance(d, int) or d in live for d in dims):
                value.shape = ir.Shape(dims)
            else:
                value.type = None  # onnx's checker wants a shape beside a type
        return int(stale)


class Ties:
    """Dims of outputs at several sizes of the inputs, by inference alone."""

    def __init__(self, edit: Edit, inputs: Inputs, outputs: list[ir.Value]) -> None:
        self.runs: list[tuple[dict[str, int], dict[ir.Value, tuple[Dim, ...] | None]]] = []
        for sizes, dims in inputs.settings():
            extents = Extents(edit, dims, declared=False)
            try:
                extents.walk(strict=True)
            except Contradiction:
                continue  # the model does not take these sizes
            self.runs.append((sizes, {v: extents.dims(v) for v in outputs}))

    def _seen(self, value: ir.Value, axis: int) -> list[tuple[dict[str, int], Dim]]:
        return [(sizes, dims[axis]) for sizes, found in self.runs if (dims := found[value]) and axis < len(dims)]

    def rank(self, value: ir.Value) -> int | None:
        """The rank of an output, if all runs agree on it."""
        ranks = {len(dims) for _, found in self.runs if (dims := found[value]) is not None}
        return ranks.pop() if len(ranks) == 1 else None

    def dim(self, value: ir.Value, axis: int) -> str | None:
        """The one symbol that a dim of an output equals at all sizes, of three or more."""
        seen = self._seen(value, axis)
        symbols = [s for s in (seen[0][0] if seen else ()) if len({sizes[s] for sizes, _ in seen}) >= 3]
        same = [s for s in symbols if all(sizes[s] == dim for sizes, dim in seen)]
        return same[0] if len(same) == 1 else None

    def always(self, value: ir.Value, axis: int, size: Dim) -> bool:
        """Whether nothing speaks against a dim being `size` at all sizes; nothing does where that is a name."""
        return isinstance(size, str) or all(dim in (size, None) for _, dim in self._seen(value, axis))

    def could(self, value: ir.Value, axis: int, symbol: Dim) -> bool:
        """Whether nothing speaks against a dim being that of an input."""
        return all(dim in (sizes.get(str(symbol)), None) for sizes, dim in self._seen(value, axis))


def fold(edit: Edit, extents: Extents) -> int:
    """Put constants in the place of what became constant; returns of how many values."""
    settled = extents.settled()
    makers: dict[ir.Node, None] = {}
    for value, tensor in settled.items():
        maker = value.producer()
        assert maker is not None
        makers[maker] = None
        edit.substitute([value], [edit.constant(tensor, f"{value.name}/constant")], maker)
    edit.remove([n for n in makers if not any(v.uses() or v.is_graph_output() for v in n.outputs)])
    return len(settled)


def freed(edit: Edit, extents: Extents) -> int:
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
        asked = list(elements.flat)
        if node.op_type == "Expand":
            offset = len(dims) - len(asked)
            known = [1 if isinstance(e, str) and same(dims, i + offset, e) else e for i, e in enumerate(asked)]
        elif 0 in asked or 0 in dims or "allowzero" in node.attributes:
            continue  # an empty tensor, or 0 that means what it says
        else:
            known = [0 if isinstance(e, str) and same(dims, i, e) else e for i, e in enumerate(asked)]
            if sum(not isinstance(e, int) for e in known) == 1 and -1 not in known:
                known = [e if isinstance(e, int) else -1 for e in known]
        if all(isinstance(e, int) for e in known):
            node.replace_input_with(
                1, edit.constant(ir.tensor(known, dtype=ir.DataType.INT64), f"{target.name}/constant")
            )
            maker = target.producer()
            if maker is not None and not any(v.uses() or v.is_graph_output() for v in maker.outputs):
                edit.remove([maker])
            changed += 1
    return changed


def rescaled(edit: Edit, extents: Extents) -> int:
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
        found = [] if asked is None else [scale(d, e) for d, e in zip(dims, asked.flat, strict=True)]
        scales = [one for one in found if one is not None]
        if scales and len(scales) == len(found):
            maker = sizes.producer()
            node.resize_inputs(3)
            node.replace_input_with(2, edit.constant(ir.tensor(scales, dtype=ir.DataType.FLOAT), f"{node.name}/scales"))
            if maker is not None and not any(v.uses() or v.is_graph_output() for v in maker.outputs):
                edit.remove([maker])
            changed += 1
    return changed


def scale(dim: Dim, size: Dim) -> float | None:
    """What the runtime makes of a size, a float32, if it leads back to the size; None where either is not known."""
    if not isinstance(size, int) or not isinstance(dim, int):
        return 1.0 if size == dim and size is not None else None
    factor = np.float32(size) / np.float32(max(dim, 1))
    # The runtime multiplies in float32, shape inference in float64.
    back = {math.floor(np.float32(dim) * factor), math.floor(dim * float(factor))}
    return float(factor) if back == {size} else None


def refuse(faults: list[Contradiction], inputs: Inputs, edit: Edit) -> None:
    """Refuse what a node can't take, unless it could not before either."""
    before = Extents(edit, inputs.free)
    before.walk()
    known = {fault.node for fault in before.faults}
    for fault in faults:
        if fault.node not in known:
            shapes = (f"{v.name} [{', '.join(map(str, dims))}]" for v, dims in inputs.dims.items())
            name = fault.node.name or fault.node.outputs[0].name
            what = f"it can't take {'; '.join(shapes)}: {fault}"
            raise Refused(what, where=f"{fault.node.op_type} {name!r}", cure="ask for other dims")


def declared_dims(value: ir.Value) -> tuple[Dim, ...] | None:
    """The dims as the model has them."""
    return None if value.shape is None else tuple(d if isinstance(d, int) else d.value for d in value.shape)


def numbered(name: str) -> bool:
    """Whether the name of a dim says nothing."""
    return NUMBERED.fullmatch(name) is not None


def fresh(tensor: str, axis: int, rank: int, taken: set[str]) -> str:
    """A name for a dim by what its axis usually is; it is added to `taken`."""
    usual = IMAGE if rank == 4 else SEQUENCE
    plain = re.sub(r"\W", "_", tensor)
    wishes = [usual[axis]] if axis < len(usual) else []
    wishes.append(f"{plain}_{wishes[0] if wishes else axis}")
    numbers = (f"{wishes[-1]}_{i}" for i in count(2))
    name = next(n for n in first(wishes, numbers) if n not in taken)
    taken.add(name)
    return name


def first(wishes: list[str], others: Iterable[str]) -> Iterator[str]:
    """The wishes, then the others."""
    yield from wishes
    yield from others


def same(dims: tuple[Dim, ...], axis: int, dim: str) -> bool:
    """Whether a tensor has that dim at an axis."""
    return 0 <= axis < len(dims) and dims[axis] == dim


def agrees(was: Dim, found: Dim, trusted: bool) -> bool:
    """Whether a declared dim says nothing other than what is found."""
    if isinstance(was, int):
        return was == found or (trusted and found is None and was >= 0)
    return was is None or was == found or (not numbered(was) and not isinstance(found, int))
