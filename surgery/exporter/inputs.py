"""Inputs for an export: those of the user, and others of other sizes, on which the module itself is run.

Values of other sizes are the user's own, repeated or thinned out, with a little noise so that no two rows
of a batch are alike: what a detector finds in an image it finds there, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from surgery.errors import BadInput

if TYPE_CHECKING:
    import torch

Dynamic = Mapping[str, Mapping[int, str]]
ODD = 13  # added to sizes to make them odd
LARGE = 256  # sizes above it are large
NOISE = 0.05  # of the values' standard deviation


@dataclass
class Case:
    """One set of inputs and what the module gives for it.

    Args:
        sizes: of each dynamic dim, by name.
        feeds: the inputs by name, in the order of the arguments.
        outputs: the module's results, flat and in order.
    """

    sizes: dict[str, int]
    feeds: dict[str, torch.Tensor]
    outputs: list[np.ndarray] = field(default_factory=list)


def named(module: torch.nn.Module, args: Any, names: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """The inputs by name: the arguments of ``forward`` if no names are given.

    Args:
        module: the module.
        args: a tensor, several, or a dict of them by the names of forward's arguments.
        names: to use instead.

    Raises:
        BadInput: something is no tensor, or there are more or fewer names than tensors.
    """
    import inspect

    import torch

    if isinstance(args, Mapping):
        found = dict(args)
    else:
        values = [args] if isinstance(args, torch.Tensor) else list(args)
        known = [p for p in inspect.signature(module.forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
        spelt = [p.name for p in known if p.kind is not p.VAR_POSITIONAL]
        spelt += [f"input_{i}" for i in range(len(spelt), len(values))]
        found = dict(zip(spelt, values, strict=False))
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise BadInput(
                f"argument {name!r} is a {type(value).__name__}, not a tensor",
                cure="wrap the module in one whose forward takes tensors only",
            )
    if not found:
        raise BadInput("there are no inputs")
    if names and len(names) != len(found):
        raise BadInput(f"{len(names)} names are given for {len(found)} inputs")
    return dict(zip(names or found, found.values(), strict=True))


def check(feeds: Mapping[str, torch.Tensor], dynamic: Dynamic) -> dict[str, int]:
    """The size of each dynamic dim, by name.

    Raises:
        BadInput: there is no such input or axis, or one name stands for two sizes.
    """
    sizes: dict[str, int] = {}
    for name, axes in dynamic.items():
        if name not in feeds:
            raise BadInput(f"there is no input {name!r} to have dynamic dims", cure=f"there is: {', '.join(feeds)}")
        for axis, symbol in axes.items():
            shape = tuple(feeds[name].shape)
            if not 0 <= axis < len(shape):
                raise BadInput(f"input {name!r} has no axis {axis}", cure=f"its shape is {shape}")
            if sizes.setdefault(symbol, shape[axis]) != shape[axis]:
                raise BadInput(
                    f"dim {symbol!r} is {sizes[symbol]} and {shape[axis]}", cure="dims of one name are of one size"
                )
    return sizes


def run(module: torch.nn.Module, feeds: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
    """What the module gives, flat: tuples, lists and dicts in their order; None left out."""
    import torch

    with torch.no_grad():
        return [t.detach().cpu().numpy() for t in flat(module(*feeds.values()))]


def flat(value: Any) -> list[Any]:
    """The tensors in a result."""
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in flat(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in flat(v)]
    return [] if value is None else [value]


def cases(module: torch.nn.Module, feeds: dict[str, torch.Tensor], dynamic: Dynamic, seed: int) -> list[Case]:
    """The user's inputs, then others; see `_Maker.around`.

    The others are small where the user's are large and the module takes small ones, too: what a free
    dim makes wrong shows at any size, and a page takes a hundred times as long as a stamp.

    Raises:
        BadInput: the module rejects its inputs, or every other size of a dim.
    """
    sizes = check(feeds, dynamic)
    first = Case(sizes, dict(feeds))
    try:
        first.outputs = run(module, feeds)
    except Exception as error:  # whatever the module raises
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in feeds.items())
        raise BadInput(f"the module rejects its inputs: {_line(error)}", where=shapes) from error
    if not first.outputs or any(a.dtype == object for a in first.outputs):
        raise BadInput("the module gives no tensors", cure="wrap it in one whose forward gives tensors")
    maker = _Maker(module, feeds, dynamic, seed)
    if not sizes:  # other values, then
        return [first, maker.make(sizes)]
    for small in _smaller(sizes, maker.batches):
        try:
            return [first, maker.make(small), *maker.around(small)]
        except Exception:  # of the module; or there is nothing beside that size that it takes
            continue
    return [first, *maker.around(sizes)]


class _Maker:
    """Makes cases of other sizes from the user's.

    Args:
        module: is run on them.
        feeds: the user's inputs.
        dynamic: their dynamic dims.
        seed: of the noise.
    """

    def __init__(self, module: torch.nn.Module, feeds: Mapping[str, torch.Tensor], dynamic: Dynamic, seed: int) -> None:
        self._module = module
        self._feeds = feeds
        self._dynamic = dynamic
        self._seed = seed
        self._spread = {name: _spread(value.detach()) for name, value in feeds.items()}
        self.batches = {symbol for axes in dynamic.values() for axis, symbol in axes.items() if axis == 0}

    def make(self, sizes: Mapping[str, int], number: int = 0) -> Case:
        """The case of these sizes; `number` sets its noise apart. Raises what the module raises."""
        case = Case(dict(sizes), self._resized(sizes, self._seed + number))
        case.outputs = run(self._module, case.feeds)
        return case

    def around(self, sizes: Mapping[str, int]) -> list[Case]:
        """Each dynamic dim at another size alone, then all together, then odd sizes.

        Raises:
            BadInput: the module rejects every other size of a dim.
        """
        made: list[Case] = []
        others: dict[str, int] = {}
        for symbol, size in sizes.items():
            rejected = ""
            for other in _others(size, symbol in self.batches, len(others)):
                try:
                    made.append(self.make({**sizes, symbol: other}))
                except Exception as error:  # whatever the module raises
                    rejected = rejected or f"{other} ({_line(error)})"
                    continue
                others[symbol] = other
                break
            else:
                raise BadInput(
                    f"the module rejects every other size of {symbol!r} that was tried, {rejected} first",
                    cure="leave that dim fixed; dims that are always equal have one name",
                )
        # Sizes that no power of two divides: what is rounded shows there.
        odd = {s: n if s in self.batches else n + ODD + 2 * i for i, (s, n) in enumerate(sizes.items())}
        for number, more in enumerate(({**sizes, **others}, odd), 1):
            if more not in (sizes, *(case.sizes for case in made)):
                with contextlib.suppress(Exception):  # where the module takes them
                    made.append(self.make(more, number))
        return made

    def _resized(self, sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
        import torch

        generator = torch.Generator().manual_seed(seed)
        made = {}
        for name, given in self._feeds.items():
            value = given.detach().cpu()
            for axis, symbol in self._dynamic.get(name, {}).items():
                there, wanted = value.shape[axis], sizes[symbol]
                indices = torch.arange(wanted)
                # Thinned out, not cut: a corner of a page is white.
                value = value.index_select(axis, indices * there // wanted if wanted < there else indices % there)
            if spread := self._spread[name]:
                noise = torch.randn(value.shape, generator=generator)
                value = value + (NOISE * spread * noise).to(value.dtype)
            made[name] = value.to(given.device)
        return made


def _spread(value: torch.Tensor) -> float:
    """By how much values vary; 0 where they are no measurements: whole numbers, masks."""
    finite = value[value.isfinite()] if value.is_floating_point() else value[:0]
    if not finite.numel() or bool(((finite == finite.min()) | (finite == finite.max())).all()):
        return 0.0
    return float(finite.double().std())


def _smaller(sizes: Mapping[str, int], batches: set[str]) -> Iterator[dict[str, int]]:
    """Sizes with the large ones made small, likely ones first; none where all are small."""
    large = [symbol for symbol, size in sizes.items() if symbol not in batches and size > LARGE]
    few = {symbol: min(size, 2) for symbol, size in sizes.items() if symbol in batches}
    if not large:
        return
    # Nets that halve their input often want multiples of 32, some of 128; others, a least length.
    for start, step in ((128, 32), (256, 128)):
        found = {symbol: start + step * i + sizes[symbol] % step for i, symbol in enumerate(large)}
        if all(size < sizes[symbol] for symbol, size in found.items()):
            yield {**sizes, **few, **found}
    for part in (8, 4, 2):
        yield {**sizes, **few, **{symbol: sizes[symbol] // part for symbol in large}}


def _others(size: int, batch: bool, number: int) -> list[int]:
    """Other sizes of a dim, likely ones first; those of two dims differ, so that these can be told apart."""
    if batch:
        return [size + 1, size + 2, 2 * size, 1]
    steps = (64, 96, 32, 128) if number % 2 else (96, 64, 32, 128)
    return [n for n in (*(size + s for s in steps), 2 * size, size - 32, size + 1, size // 2) if n > 0]


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
