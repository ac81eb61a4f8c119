"""Where a dim goes when a tensor is reshaped: arithmetic on dims alone.

    [25, 4, 512] -> [100, 512]     axis 1 becomes part of axis 0
    [100, 512] -> [25, 4, 512]     what has 4 and was part of 100 becomes an axis of its own

Elements keep their order, so a dim is known by how many elements lie before it.
"""

from collections.abc import Sequence
from math import prod

from rewrites.dims import Dims
from rewrites.dims.follow import RATIO


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
        place = _home(was, axis, out, share)
        if place is None or wanted[place] % share:
            return None
        wanted[place] = wanted[place] // share * (grown * share // size)
    return tuple(wanted) if prod(wanted) == prod(now) else None


def moves(was: Dims, grown: Sequence[int], out: Dims) -> tuple[int, int] | None:
    """From where to where a reshape moves the one axis that grows, if it moves it past others.

    It can if the axis is one element long; simplifiers make a reshape of such a transpose.
    """
    if len(grown) != 1 or was[grown[0]] != 1 or not all(isinstance(d, int) for d in (*was, *out)):
        return None
    before = prod(was[: grown[0]])
    ones = [i for i, d in enumerate(out) if d == 1]
    if not ones or any(prod(out[:i]) == before for i in ones):
        return None
    return grown[0], ones[0]


def _home(was: Dims, axis: int, out: Dims, share: int) -> int | None:
    """The axis of `out` that the freed dim, `share` long and part of an axis of `was`, comes into."""
    before, size = prod(was[:axis]), was[axis]
    starts = [prod(out[:i]) for i in range(len(out))]
    if size != share:
        return _home_of_part(before, size, out, starts, share)
    if size == 1:
        return _home_of_one(was, axis, out, starts)
    for i, start in enumerate(starts):
        if before % start == 0 and out[i] % (before // start * size) == 0:
            return i
    return None


def _home_of_part(before: int, size: int, out: Dims, starts: list[int], share: int) -> int | None:
    """It lies somewhere in an axis: an axis of its own comes of it, else it is in the first that it may be part of."""
    inside = [i for i, start in enumerate(starts) if before <= start <= before * size and out[i] % share == 0]
    own = [i for i in inside if out[i] == share and (share == 1 or starts[i] < before * size)]
    longer = [i for i in inside if starts[i] < before * size and out[i] > 1]
    return next(iter(own + longer), None)


def _home_of_one(was: Dims, axis: int, out: Dims, starts: list[int]) -> int | None:
    """One element long, it can come anywhere between its neighbours: rather beside as many ones as before."""
    before = prod(was[:axis])
    ones = [i for i, start in enumerate(starts) if start == before and out[i] == 1]
    if ones:
        earlier = sum(1 for i in range(axis) if was[i] == 1 and prod(was[:i]) == before)
        return ones[min(earlier, len(ones) - 1)]
    # Else into the axis before, which it then is part of, else into the one after.
    left = [i for i, start in enumerate(starts) if start < before <= start * out[i]]
    right = [i for i, start in enumerate(starts) if start == before]
    return next(iter(left + right), None)
