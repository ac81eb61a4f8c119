"""Names for the dims of an exported model: those of the user, and readable ones for what follows from them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import onnx

from surgery.errors import BadInput
from surgery.exporter.inputs import Case, Dynamic

UNBACKED = re.compile(r"\bu\d+\b")  # what the dynamo exporter calls a size that values decide


def name_dims(model: onnx.ModelProto, dynamic: Dynamic, cases: Sequence[Case]) -> None:
    """Declare the dims of inputs and outputs as they were seen to be.

    An output's axis that always has the size of a dynamic dim gets its name; one that only
    follows from it is ``out_`` and the name; one that never changed is declared with its size, unless
    the exporter knows that values decide it.
    """
    symbols: dict[str, str] = {}  # the exporter's to the user's
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            symbol = dynamic.get(value.name, {}).get(axis)
            if symbol is None:
                continue
            if dim.HasField("dim_value"):
                raise BadInput(
                    f"the exporter has fixed {symbol!r} of input {value.name!r} at {dim.dim_value}",
                    cure="the module decides by that size while it is traced; leave the dim fixed",
                )
            symbols[dim.dim_param] = symbol
            dim.dim_param = symbol
    taken: dict[str, list[int]] = {symbol: [case.sizes[symbol] for case in cases] for symbol in cases[0].sizes}
    for number, value in enumerate(model.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            sizes = [case.outputs[number].shape[axis] for case in cases]
            if UNBACKED.search(dim.dim_param):  # values decide it, whatever it was here
                dim.dim_param = f"{value.name}_dim{axis}"
            elif len(set(sizes)) == 1 and not _follows(sizes, cases):
                dim.Clear()
                dim.dim_value = sizes[0]
            else:
                dim.dim_param = _name(sizes, cases, taken, value.name, axis)
                taken.setdefault(dim.dim_param, sizes)
    for value in model.graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda found: symbols.get(found[0], found[0]), dim.dim_param)


def _follows(sizes: Sequence[int], cases: Sequence[Case]) -> list[str]:
    """The dynamic dims that move a size where they alone are other."""
    found = set()
    for (one, size), (other, moved) in itertools.combinations(zip(cases, sizes, strict=True), 2):
        apart = [symbol for symbol, n in one.sizes.items() if n != other.sizes[symbol]]
        if len(apart) == 1 and size != moved:
            found.update(apart)
    return [symbol for symbol in cases[0].sizes if symbol in found]


def _name(sizes: list[int], cases: Sequence[Case], taken: dict[str, list[int]], output: str, axis: int) -> str:
    for symbol in cases[0].sizes:
        if taken[symbol] == sizes:
            return symbol
    base = "_".join(_follows(sizes, cases)) or f"dim{axis}"
    return next(name for name in _tries(base, output, axis) if taken.get(name, sizes) == sizes)


def _tries(base: str, output: str, axis: int) -> Iterable[str]:
    yield f"out_{base}"
    yield f"{output}_{base}"
    yield f"{output}_{base}_{axis}"
    yield f"{output}_dim{axis}"
