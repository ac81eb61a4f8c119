"""Names of dims."""

import re
from collections.abc import Iterator
from itertools import count

# Names that say nothing: exporters and shape inference number them.
NUMBERED = re.compile(r"\?|-?\d+|unk__\d+|(p2o\.)?DynamicDimension\.\d+|None|")
IMAGE = ("batch", "channels", "height", "width")
SEQUENCE = ("batch", "length")


def numbered(name: str) -> bool:
    """Whether the name of a dim says nothing."""
    return NUMBERED.fullmatch(name) is not None


def fresh(tensor: str, axis: int, rank: int, taken: set[str]) -> str:
    """A name for a dim by what its axis usually is; it is added to `taken`."""
    name = next(name for name in _wishes(tensor, axis, rank) if name not in taken)
    taken.add(name)
    return name


def _wishes(tensor: str, axis: int, rank: int) -> Iterator[str]:
    usual = IMAGE if rank == 4 else SEQUENCE
    plain = re.sub(r"\W", "_", tensor)
    own = f"{plain}_{usual[axis] if axis < len(usual) else axis}"
    if axis < len(usual):
        yield usual[axis]
    yield own
    yield from (f"{own}_{i}" for i in count(2))
