"""Inputs for an export: those of the user, and others of other sizes, on which the module itself is run.

Values of other sizes are the user's own, repeated and cut, with a little noise so that no two rows
of a batch are alike: what a detector finds in an image it finds there, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from surgery.errors import BadInput

if TYPE_CHECKING:
    import torch

Dynamic = Mapping[str, Mapping[int, str]]
ODD = 13  # added to sizes to make them odd
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
    """The user's inputs, then each dynamic dim at another size alone, then all together, then odd sizes.

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
    made = [first]
    others: dict[str, int] = {}
    batches = {symbol for axes in dynamic.values() for axis, symbol in axes.items() if axis == 0}
    for symbol, size in sizes.items():
        rejected = ""
        for other in _others(size, symbol in batches, len(others)):
            case = _resized(feeds, dynamic, {**sizes, symbol: other}, seed)
            try:
                case.outputs = run(module, case.feeds)
            except Exception as error:
                rejected = rejected or f"{other} ({_line(error)})"
                continue
            others[symbol] = other
            made.append(case)
            break
        else:
            raise BadInput(
                f"the module rejects every other size of {symbol!r} that was tried, {rejected} first",
                cure="leave that dim fixed",
            )
    if len(others) > 1:
        case = _resized(feeds, dynamic, {**sizes, **others}, seed + 1)
        case.outputs = run(module, case.feeds)
        made.append(case)
    if sizes:
        # Sizes that no power of two divides, where the module takes them: what is rounded shows there.
        odd = {s: n if s in batches else n + ODD + 2 * i for i, (s, n) in enumerate(sizes.items())}
        case = _resized(feeds, dynamic, odd, seed + 2)
        with contextlib.suppress(Exception):
            case.outputs = run(module, case.feeds)
            made += [case] if odd != sizes else []
    else:  # other values, then
        case = _resized(feeds, dynamic, sizes, seed)
        case.outputs = run(module, case.feeds)
        made.append(case)
    return made


def _others(size: int, batch: bool, number: int) -> list[int]:
    """Other sizes of a dim, likely ones first; those of two dims differ, so that these can be told apart."""
    if batch:
        return [size + 1, size + 2, 2 * size, 1]
    steps = (64, 96, 32, 128) if number % 2 else (96, 64, 32, 128)
    return [n for n in (*(size + s for s in steps), 2 * size, size - 32, size + 1, size // 2) if n > 0]


def _resized(feeds: Mapping[str, torch.Tensor], dynamic: Dynamic, sizes: Mapping[str, int], seed: int) -> Case:
    import torch

    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, value in feeds.items():
        value = value.detach().cpu()
        for axis, symbol in dynamic.get(name, {}).items():
            indices = torch.arange(sizes[symbol]) % value.shape[axis]
            value = value.index_select(axis, indices)
        if value.is_floating_point() and value.numel() > 1:
            noise = torch.randn(value.shape, generator=generator).to(value.dtype)
            value = value + NOISE * value.std() * noise
        made[name] = value
    return Case(dict(sizes), made)


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
