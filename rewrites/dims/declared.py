"""The shapes that a model declares of its outputs and inner tensors, declared anew."""

import onnx_ir as ir

from rewrites.dims import Dim, Dims, dims_of
from rewrites.dims.inputs import Inputs
from rewrites.dims.names import fresh, numbered
from rewrites.dims.ties import Ties
from surgery import Edit, Extents


class Declared:
    """The shapes that the model declares of outputs and inner tensors; taken off while they may be wrong.

    Args:
        model: its shapes are taken off at once.
        inputs: the inputs' dims, bound already.
    """

    def __init__(self, model: ir.Model, inputs: Inputs) -> None:
        self.inputs = inputs
        self.symbols = frozenset(inputs.symbols)
        self.taken = set(self.symbols)
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

    def outputs(self, extents: Extents, edit: Edit) -> int:
        """Declare what the outputs have; returns how many dims changed."""
        ties = Ties(edit, self.inputs, self.results)
        seen = {value: extents.dims(value) for value in self.results}  # of all, before any is declared
        changed = 0
        for value, known in seen.items():
            was = dims_of(self.shapes[value])
            dims = self._dims(value, was, known, ties)
            if dims is not None:
                changed += len(dims) if was is None else sum(a != b for a, b in zip(was, dims, strict=False))
                value.shape = ir.Shape(dims)
        return changed

    def _dims(self, value: ir.Value, was: Dims | None, seen: Dims | None, ties: Ties) -> list[Dim] | None:
        """The dims of an output: what the nodes make of symbols, else what it is tied to, else what was declared."""
        if seen is None:
            rank = ties.rank(value)
            if rank is None and was is None:
                return None
            seen = (None,) * (len(was or ()) if rank is None else rank)
        dims: list[Dim] = []
        for axis, dim in enumerate(seen):
            found = dim if isinstance(dim, int) or dim in self.symbols else ties.dim(value, axis)
            if found is None:
                old = was[axis] if was is not None and axis < len(was) else None
                found = self._own(value, axis, old, ties)
            dims.append(fresh(value.name or "y", axis, len(seen), self.taken) if found is None else found)
        return dims

    def _own(self, value: ir.Value, axis: int, old: Dim, ties: Ties) -> Dim:
        """What was declared of a dim that is none of the inputs', where nothing that is inferred says otherwise."""
        if isinstance(old, int) and old >= 0 and ties.always(value, axis, old):
            return old
        renamed = self.inputs.renamed
        if isinstance(old, str) and (old in renamed or not numbered(old)):
            said = renamed.get(old, old)
            if ties.always(value, axis, said) and (said not in self.taken or ties.could(value, axis, said)):
                return said
        return None

    def inner(self, extents: Extents, *, trusted: bool) -> int:
        """Declare again what was declared of inner tensors and holds; returns 1 if something did not.

        Numbers that inference does not find are believed only where all else was in order: `trusted`.
        """
        stale = False
        for value, shape in self.shapes.items():
            was, maker = dims_of(shape), value.producer()
            if was is None or value in self.results or maker is None or maker.graph is None:
                continue
            dims = extents.dims(value)
            if dims is not None and len(dims) == len(was) and all(map(agrees, was, dims, [trusted] * len(was))):
                value.shape = shape
                continue
            stale = True
            if dims is not None and all(isinstance(d, int) or d in self.symbols for d in dims):
                value.shape = ir.Shape(dims)
            else:
                value.type = None  # onnx's checker wants a shape beside a type
        return int(stale)


def agrees(was: Dim, found: Dim, trusted: bool) -> bool:
    """Whether a declared dim says nothing other than what is found."""
    if isinstance(was, int):
        return was == found or (trusted and found is None and was >= 0)
    return was is None or was == found or (not numbered(was) and not isinstance(found, int))
