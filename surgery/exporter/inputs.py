"""Inputs for an export: those of the user, and others of other sizes, on which the module itself is run.

Values of other sizes are the user's own, repeated or thinned out, with a little noise so that no two rows
of a batch are alike: what a detector finds in an image it finds there, too.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from surgery.errors import BadInput

if TYPE_CHECKING:
    import torch

Dynamic = Mapping[str, Mapping[int, str]]
ODD = 13  # added to sizes to make them odd
SPELT = "a name is of letters, digits and _, as in {'x': {0: 'batch', 3: 'width'}}"
LARGE = 256  # sizes above it are large
NOISE = 0.05  # of the values' standard deviation


@dataclass
class Case:
    """One set of inputs and what the module gives for it.

    Args:
        sizes: of each dynamic dim, by name.
        feeds: the inputs by name, in the order of forward's parameters.
        keywords: of those that are handed over by name, that name.
        outputs: the module's results, flat and in order.
    """

    sizes: dict[str, int]
    feeds: dict[str, torch.Tensor]
    keywords: Mapping[str, str] = field(default_factory=dict)
    outputs: list[np.ndarray] = field(default_factory=list)

    def arguments(self) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
        """What forward is called with: copies, for some modules write into their inputs."""
        fresh = {name: value.detach().clone() for name, value in self.feeds.items()}
        return (
            tuple(value for name, value in fresh.items() if name not in self.keywords),
            {self.keywords[name]: value for name, value in fresh.items() if name in self.keywords},
        )

    def run(self, module: torch.nn.Module) -> list[np.ndarray]:
        """What the module gives, flat: tuples, lists and dicts in their order; None left out.

        Raises:
            BadInput: something in it is no tensor; and whatever the module raises.
        """
        import torch

        args, kwargs = self.arguments()
        with torch.no_grad(), kept(module):
            found = flat(module(*args, **kwargs))
        for i, value in enumerate(found):
            if not isinstance(value, torch.Tensor):
                raise BadInput(
                    f"result {i} of the module is a {type(value).__name__}, not a tensor",
                    cure="wrap the module in one whose forward gives tensors only",
                )
            if value.is_complex():
                raise BadInput(
                    f"result {i} of the module is complex, which no runtime for ONNX gives",
                    cure="wrap the module in one that gives torch.view_as_real of it",
                )
        if not found:
            raise BadInput("the module gives no tensors", cure="wrap it in one whose forward gives tensors")
        return [array(value) for value in found]

    def arrays(self) -> dict[str, np.ndarray]:
        """The inputs as the runtime takes them."""
        return {name: array(value) for name, value in self.feeds.items()}


def array(value: torch.Tensor) -> np.ndarray:
    """A tensor for numpy; what numpy has no type for, bfloat16 for one, as float32."""
    value = value.detach().cpu()
    try:
        made: np.ndarray = value.numpy()
    except TypeError:
        made = value.float().numpy()
    return made


@contextlib.contextmanager
def kept(module: torch.nn.Module) -> Iterator[None]:
    """Buffers are afterwards as they were: some modules count their calls."""
    import torch

    held = [
        (part, name, value, value.clone())
        for part in module.modules()
        for name, value in part._buffers.items()
        if value is not None and not value.is_meta
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, value, before in held:
                if part._buffers.get(name) is not value:
                    part._buffers[name] = value
                if not torch.equal(value, before):
                    value.copy_(before)


def named(
    module: torch.nn.Module, args: Any, names: Sequence[str] = ()
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The inputs by name: the arguments of ``forward`` if no names are given; and `Case.keywords`.

    Args:
        module: the module.
        args: a tensor, several, or a dict of them by the names of forward's arguments.
        names: to use instead, in the order of forward's parameters.

    Raises:
        BadInput: `module` is none, something is no tensor, forward has no such argument, or there are more or fewer
            names than tensors.
    """
    import inspect

    import torch

    if not isinstance(module, torch.nn.Module):
        raise BadInput(
            f"what is to be exported is a {type(module).__name__}, not a torch.nn.Module",
            cure="give the module itself, or one whose forward calls what you have",
        )
    parameters = list(inspect.signature(module.forward).parameters.values())
    spelt = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    by_name: list[str] = []
    if isinstance(args, Mapping):
        unknown = [name for name in args if name not in spelt]
        if unknown and all(p.kind is not p.VAR_KEYWORD for p in parameters):
            raise BadInput(
                f"the module's forward has no argument {unknown[0]!r}", cure=f"it has: {', '.join(spelt) or 'none'}"
            )
        found = {name: args[name] for name in (*spelt, *unknown) if name in args}
        # From the first that is left out on, and where forward asks for it, they are handed over by name.
        by_place = itertools.takewhile(lambda p: p.name in args and p.kind is not p.KEYWORD_ONLY, parameters)
        by_name = list(found)[len(list(by_place)) :]
    else:
        values = [args] if isinstance(args, torch.Tensor) else list(args)
        spelt = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        spelt += [f"input_{i}" for i in range(len(spelt), len(values))]
        found = dict(zip(spelt, values, strict=False))
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            by_numpy = isinstance(value, np.ndarray)
            raise BadInput(
                f"argument {name!r} is a {type(value).__name__}, not a tensor",
                cure=f"torch.from_numpy({name})"
                if by_numpy
                else "wrap the module in one whose forward takes tensors only",
            )
    if not found:
        raise BadInput("there are no inputs")
    if names and len(names) != len(found):
        raise BadInput(f"{len(names)} names are given for {len(found)} inputs")
    called = dict(zip(found, names or found, strict=True))
    return {called[name]: value for name, value in found.items()}, {called[name]: name for name in by_name}


def check(feeds: Mapping[str, torch.Tensor], dynamic: Dynamic) -> dict[str, int]:
    """The size of each dynamic dim, by name.

    Raises:
        BadInput: there is no such input or axis, one name stands for two sizes, or is none.
    """
    sizes: dict[str, int] = {}
    if not isinstance(dynamic, Mapping):
        raise BadInput(f"the dynamic dims are a {type(dynamic).__name__}", cure=SPELT)
    for name, axes in dynamic.items():
        if name not in feeds:
            raise BadInput(f"there is no input {name!r} to have dynamic dims", cure=f"there is: {', '.join(feeds)}")
        if not isinstance(axes, Mapping):
            raise BadInput(f"the dynamic dims of {name!r} are a {type(axes).__name__}", cure=SPELT)
        for axis, symbol in axes.items():
            if not isinstance(symbol, str) or not symbol.isidentifier():
                raise BadInput(f"{symbol!r} is no name for axis {axis} of {name!r}", cure=SPELT)
            shape = tuple(feeds[name].shape)
            if not 0 <= axis < len(shape):
                raise BadInput(f"input {name!r} has no axis {axis}", cure=f"its shape is {shape}")
            if sizes.setdefault(symbol, shape[axis]) != shape[axis]:
                raise BadInput(
                    f"dim {symbol!r} is {sizes[symbol]} and {shape[axis]}", cure="dims of one name are of one size"
                )
    return sizes


def flat(value: Any) -> list[Any]:
    """The tensors in a result."""
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in flat(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in flat(v)]
    return [] if value is None else [value]


def cases(
    module: torch.nn.Module,
    feeds: dict[str, torch.Tensor],
    dynamic: Dynamic,
    seed: int,
    keywords: Mapping[str, str] | None = None,
) -> list[Case]:
    """The user's inputs, then others; see `_Maker.around`.

    The others are small where the user's are large and the module takes small ones, too: what a free
    dim makes wrong shows at any size, and a page takes a hundred times as long as a stamp.

    Raises:
        BadInput: the module rejects its inputs, or every other size of a dim, or gives no tensors.
    """
    sizes = check(feeds, dynamic)
    first = Case(sizes, dict(feeds), keywords or {})
    try:
        first.outputs = first.run(module)
    except BadInput:
        raise
    except Exception as error:  # whatever the module raises
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in feeds.items())
        raise BadInput(f"the module rejects its inputs: {_line(error)}", where=shapes) from error
    maker = _Maker(module, first, dynamic, seed)
    if not sizes:  # other values, then
        return [first, *maker.taken(sizes)]
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
        given: the user's case.
        dynamic: its dynamic dims.
        seed: of the noise.
    """

    def __init__(self, module: torch.nn.Module, given: Case, dynamic: Dynamic, seed: int) -> None:
        self._module = module
        self._given = given
        self._dynamic = dynamic
        self._seed = seed
        self._spread = {name: _spread(value.detach()) for name, value in given.feeds.items()}
        self.batches = {symbol for axes in dynamic.values() for axis, symbol in axes.items() if axis == 0}

    def make(self, sizes: Mapping[str, int], number: int = 0, *, mirrored: bool = False) -> Case:
        """The case of these sizes, `number` sets its noise apart; raises what the module raises."""
        case = Case(dict(sizes), self._resized(sizes, self._seed + number, mirrored), self._given.keywords)
        case.outputs = case.run(self._module)
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
                if other == size:
                    continue
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
                made += self.taken(more, number)
        return made

    def taken(self, sizes: Mapping[str, int], number: int = 0) -> list[Case]:
        """The case of these sizes and, where the module takes them, of other values; none if it takes neither."""
        for mirrored in (True, False):
            with contextlib.suppress(Exception):  # whatever the module raises
                return [self.make(sizes, number, mirrored=mirrored)]
        return []

    def _resized(self, sizes: Mapping[str, int], seed: int, mirrored: bool) -> dict[str, torch.Tensor]:
        import torch

        generator = torch.Generator().manual_seed(seed)
        made = {}
        for name, given in self._given.feeds.items():
            value = given.detach().cpu()
            for axis, symbol in self._dynamic.get(name, {}).items():
                there, wanted = value.shape[axis], sizes[symbol]
                indices = torch.arange(wanted)
                # Thinned out, not cut: a corner of a page is white.
                value = value.index_select(axis, indices * there // wanted if wanted < there else indices % there)
            if mirrored and not _is_mask(value) and bool(value.isfinite().all()):
                value = value.min() + value.max() - value  # another sum, another largest, in the same range
            if spread := self._spread[name]:
                noise = torch.randn(value.shape, generator=generator)
                value = value + (NOISE * spread * noise).to(value.dtype)
            made[name] = value.to(given.device)
        return made


def _spread(value: torch.Tensor) -> float:
    """By how much values vary; 0 where they are no measurements: whole numbers, masks."""
    if not value.is_floating_point() or _is_mask(value):
        return 0.0
    return float(value[value.isfinite()].double().std())


def _is_mask(value: torch.Tensor) -> bool:
    """Whether there are but two finite values, at most."""
    finite = value[value.isfinite()]
    return not finite.numel() or bool(((finite == finite.min()) | (finite == finite.max())).all())


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
