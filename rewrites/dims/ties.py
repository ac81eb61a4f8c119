"""Which dims of outputs are dims of inputs, by inference at several sizes of the inputs; no data is run."""

from collections.abc import Sequence
from functools import cached_property

import onnx_ir as ir

from rewrites.dims import Dim, Dims
from rewrites.dims.inputs import Inputs
from surgery import Contradiction, Edit, Extents

# Sizes to infer at: by the axis, where the rank is 4; else the first for the batch and the last for the rest.
SIZES = {
    0: (2, 3, 5, 2, 3, 5, 7, 4),
    1: (3, 3, 3, 1, 1, 3, 4, 16),
    2: (64, 96, 160, 48, 32, 48, 224, 320),
    3: (96, 160, 64, 320, 100, 192, 288, 416),
    4: (12, 20, 33, 64, 7, 128, 50, 16),
}


class Ties:
    """Dims of outputs at several sizes of the inputs, by inference alone, which is run when the first is asked for."""

    def __init__(self, edit: Edit, inputs: Inputs, outputs: Sequence[ir.Value]) -> None:
        self.edit = edit
        self.inputs = inputs
        self.outputs = outputs

    @cached_property
    def runs(self) -> list[tuple[dict[str, int], dict[ir.Value, Dims | None]]]:
        """Sizes of the symbols, and what dims the outputs have at them."""
        found = []
        for i in range(len(SIZES[0])):
            sizes: dict[str, int] = {}
            for dims in self.inputs.dims.values():
                for axis, dim in enumerate(dims):
                    if isinstance(dim, str):
                        sizes.setdefault(dim, SIZES[axis if len(dims) == 4 or axis == 0 else 4][i])
            extents = Extents(self.edit, self.inputs.at(sizes), declared=False)
            try:
                extents.walk(strict=True)
            except Contradiction:
                continue  # the model does not take these sizes
            found.append((sizes, {v: extents.dims(v) for v in self.outputs}))
        return found

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
