"""The dims of a model's inputs: as they are declared, put in order, and with those bound that are asked for."""

from collections.abc import Mapping

import onnx_ir as ir

from rewrites.dims import Dim, Dims, dims_of
from rewrites.dims.names import fresh, numbered
from surgery import BadInput, Refused

MOST = 1 << 31  # a size is less


class Inputs:
    """The inputs' dims: as they are declared, in order, and with those bound that are asked for."""

    def __init__(self, values: list[ir.Value]) -> None:
        self.values = values
        self.was: dict[ir.Value, Dims | None] = {v: dims_of(v.shape) for v in values}
        self.renamed: dict[str, Dim] = {}  # what became of a symbol
        taken = {d for dims in self.was.values() for d in dims or () if isinstance(d, str) and not numbered(d)}
        self.dims: dict[ir.Value, Dims] = {}
        for value, dims in self.was.items():
            if dims is not None:
                named = (self._name(value, axis, dims, taken) for axis in range(len(dims)))
                self.dims[value] = tuple(named)
        self.free = dict(self.dims)  # before anything is bound
        self.sizes: dict[str, int] = {}  # that symbols are bound to

    def _name(self, value: ir.Value, axis: int, dims: Dims, taken: set[str]) -> Dim:
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

    def at(self, sizes: Mapping[str, int]) -> dict[ir.Value, Dims]:
        """The dims with sizes in the place of symbols."""
        return {v: tuple(sizes.get(d, d) if isinstance(d, str) else d for d in ds) for v, ds in self.dims.items()}

    def bind(self, dims: Mapping[str, int], shape: Mapping[str, str]) -> list[str]:
        """Fix what is asked for; returns it in words.

        Args:
            dims: sizes by symbol, or by input and axis, ``x.2``.
            shape: shapes by input, ``1x3x48x?``.

        Raises:
            BadInput: there is no such input or dim, or what is asked for is no size or shape.
            Refused: a dim is already another number, or is to be two.
        """
        by_name = {v.name: v for v in self.values}
        for key, size in dims.items():
            if not 0 < size < MOST:
                raise BadInput(f"a dim can't be {size}", where=key)
            name, _, axis = key.rpartition(".")
            if key in self.symbols or key in self.renamed:
                self._fix(str(self.renamed.get(key, key)), size, f"dims={key}")
            elif name in by_name and axis.isdigit() and int(axis) < len(self.dims.get(by_name[name], ())):
                self._fix_axis(by_name[name], int(axis), size, f"dims={key}")
            else:
                raise BadInput(f"no dim of an input is called {key!r}", cure=self._what_there_is())
        for key, text in shape.items():
            if key not in by_name:
                raise BadInput(f"there is no input {key!r}", cure=self._what_there_is())
            self._fix_shape(by_name[key], text)
        self.renamed |= self.sizes
        self.renamed |= {old: self.sizes[new] for old, new in self.renamed.items() if new in self.sizes}
        self.dims = self.at(self.sizes)
        return [f"{name} is {size}" for name, size in self.sizes.items()]

    def _fix_shape(self, value: ir.Value, text: str) -> None:
        name, asked = value.name or "", text.split("x")
        if not all(a == "?" or (a.isdecimal() and 0 < int(a) < MOST) for a in asked):
            raise BadInput(f"{text!r} is no shape", where=name, cure="one is written 1x3x48x320, ? for a free dim")
        if value not in self.dims:
            self.dims[value] = tuple(fresh(name, i, len(asked), set(self.symbols)) for i in range(len(asked)))
            self.free[value] = self.dims[value]
        if len(asked) != len(self.dims[value]):
            raise Refused(f"it has {len(self.dims[value])} axes, not {len(asked)}", where=f"input {name!r}")
        for i, one in enumerate(asked):
            if one != "?":
                self._fix_axis(value, i, int(one), f"shape={name}={text}")

    def _fix_axis(self, value: ir.Value, axis: int, size: int, wish: str) -> None:
        dim = self.dims[value][axis]
        if isinstance(dim, str):
            self._fix(dim, size, wish)
        elif dim != size:
            cure = "a number is no wish; free-dims makes some free" if axis == 0 else ""
            raise Refused(f"axis {axis} is {dim}, and can't be {size}", where=f"input {value.name!r}", cure=cure)

    def _fix(self, symbol: str, size: int, wish: str) -> None:
        if self.sizes.setdefault(symbol, size) != size:
            what = f"it is to be {self.sizes[symbol]} and {size}"
            raise Refused(what, where=f"dim {symbol!r}", cure=f"see {wish}")

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
