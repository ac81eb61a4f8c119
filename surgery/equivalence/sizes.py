"""Find sizes that a model accepts, by trying.

A file seldom says what its free dims may be: that height must be 48, width a multiple of 32,
or one dim the sum of two others. A try costs a run at a small size; a failed one, less.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from surgery.equivalence.ports import Dim, Port

Sizes = dict[str, int]  # of the free dims, by symbol

IMAGE = (64, 48, 32, 224, 96, 256, 320, 416, 640, 112, 299, 384, 448)
SEQUENCE = (12, 64, 512, 576, 256, 128, 1024, 16000)
STEPS = (1, 2, 4, 8, 16, 32, 28)
MAX_TRIES = 60
MAX_SECONDS = 30.0
HOPELESS = 14  # tries that all fail at one node: no size will help


@dataclass
class Symbols:
    """The free dims of all inputs.

    Axis 0 is the batch, whatever its names: exporters give every input a batch symbol of its
    own. Dims that bear one name are one; dims without a proper name are each their own.
    """

    shapes: dict[str, list[int | str]] = field(default_factory=dict)  # by input; str is a symbol
    batch: list[str] = field(default_factory=list)
    image: list[str] = field(default_factory=list)
    sequence: list[str] = field(default_factory=list)
    middle: list[str] = field(default_factory=list)  # axis 1 of [L, ?, k]: of a state, the batch

    @classmethod
    def of(
        cls,
        inputs: Sequence[Port],
        fixed: Mapping[str, Mapping[int, int]],
        given: Mapping[str, Sequence[int]],
        rank: int,
    ) -> Symbols:
        """Read them from the inputs.

        Args:
            inputs: the model's inputs.
            fixed: sizes of axes that the consumer of an input asks for.
            given: whole shapes that the user asks for, by input.
            rank: what to take for an input of unknown rank.
        """
        self = cls()
        tall = any(len(port.dims or ()) > 1 and _free(port.dims[0]) for port in inputs if port.dims)
        known = _known(inputs, given)
        for port in inputs:
            dims: Sequence[Dim] = port.dims if port.dims is not None else (None,) * rank
            shape: list[int | str] = []
            for axis, dim in enumerate(dims):
                name = _symbol(port.name, axis, dim)
                if port.name in given:
                    shape.append(int(given[port.name][axis]))
                elif not _free(dim):
                    shape.append(int(dim))  # type: ignore[arg-type]
                elif name in known:
                    shape.append(known[name])
                elif axis in fixed.get(port.name, {}):
                    shape.append(fixed[port.name][axis])
                else:
                    shape.append(name)
                    self._sort(name, axis, dims, tall)
            self.shapes[port.name] = shape
        # One name may stand at axis 0 of one input and elsewhere in another: it is the batch.
        self.image = [s for s in self.image if s not in self.batch]
        self.sequence = [s for s in self.sequence if s not in self.batch and s not in self.image]
        self.middle = [s for s in self.middle if s in self.sequence]
        return self

    def _sort(self, name: str, axis: int, dims: Sequence[Dim], tall: bool) -> None:
        if axis == 0 and (len(dims) > 1 or tall):
            group = self.batch
        elif len(dims) == 4:
            group = self.image
        else:
            group = self.sequence
            if len(dims) == 3 and axis == 1 and not _free(dims[2]):
                self.middle.append(name)
        if name not in group:
            group.append(name)

    @property
    def rest(self) -> list[str]:
        """All but the batch."""
        return [*self.image, *self.sequence]

    def shape(self, name: str, sizes: Sizes) -> list[int]:
        """The shape of an input at `sizes`."""
        return [sizes[d] if isinstance(d, str) else d for d in self.shapes[name]]

    def all(self, batch: int, image: int, sequence: int | None = None) -> Sizes:
        """One size for each group."""
        sizes = dict.fromkeys(self.batch, batch) | dict.fromkeys(self.image, image)
        return sizes | dict.fromkeys(self.sequence, image if sequence is None else sequence)


def _free(dim: Dim) -> bool:
    return dim is None or isinstance(dim, str) or dim < 0  # 0 is a size


def _symbol(name: str, axis: int, dim: Dim) -> str:
    proper = isinstance(dim, str) and dim != "?" and not re.fullmatch(r"unk__\d+", dim)
    return str(dim) if proper else f"{name}[{axis}]"


def _known(inputs: Sequence[Port], given: Mapping[str, Sequence[int]]) -> Sizes:
    """Symbols that the user's shapes settle."""
    known: Sizes = {}
    for port in inputs:
        for axis, (dim, size) in enumerate(zip(port.dims or (), given.get(port.name, ()), strict=False)):
            if _free(dim):
                known[_symbol(port.name, axis, dim)] = int(size)
    return known


@dataclass
class Try:
    """What came of one try: "" and no node where the model ran."""

    error: str = ""
    node: str = ""
    empty: bool = False  # it ran, but an output has no element
    runs: int = 1  # that it took

    @property
    def ran(self) -> bool:
        """Whether the model took these sizes."""
        return not self.error


@dataclass
class Search:
    """Sizes found, and what is known of the others."""

    attempt: Callable[[Sizes], Try]
    symbols: Symbols
    seconds: float = MAX_SECONDS
    tries: int = 0
    error: str = ""  # of the last failed try before any ran
    moves: list[tuple[tuple[str, ...], int]] = field(default_factory=list)  # symbols that grow together, step

    def run(self) -> list[Sizes]:
        """Up to three settings to probe at: unlike in batch, height and width. Empty: none runs."""
        self._end = time.monotonic() + self.seconds
        first = self._first()
        if first is None:
            return []
        self._explore(first)
        return self._spread(first)

    def _spent(self) -> bool:
        return self.tries >= MAX_TRIES or time.monotonic() > self._end

    def _try(self, sizes: Sizes) -> Try:
        result = self.attempt(sizes)
        self.tries += result.runs
        return result

    def _first(self) -> Sizes | None:
        empty: Sizes | None = None
        nodes: list[str] = []
        for sizes in self._candidates():
            if self._spent():
                break
            result = self._try(sizes)
            if result.ran and not result.empty:
                return sizes
            if result.ran:
                empty = empty or sizes
                continue
            self.error = result.error
            nodes.append(result.node)
            if len(nodes) >= HOPELESS and result.node and len(set(nodes)) == 1:
                break
        return empty

    def _candidates(self) -> Iterator[Sizes]:
        """Settings in the order in which they are likely, none twice."""
        seen: list[Sizes] = []
        for sizes in self._ordered():
            if sizes not in seen:
                seen.append(sizes)
                yield sizes

    def _ordered(self) -> Iterator[Sizes]:
        s = self.symbols
        images, sequences = (IMAGE if s.image else ()), (SEQUENCE if s.sequence else ())
        rounds = [
            (images[i % len(images)] if images else 0, sequences[i % len(sequences)] if sequences else 0)
            for i in range(max(len(images), len(sequences), 1))
        ]
        for i, (image, sequence) in enumerate(rounds):
            base = s.all(2, image, sequence)
            yield base
            if s.middle:
                yield base | dict.fromkeys(s.middle, 2)
            if i == min(1, len(rounds) - 1):
                for im, sq in rounds[:2]:
                    yield s.all(1, im, sq)
                    for factor in (2, 3):
                        for symbol in s.rest:
                            even = s.all(2, im, sq)
                            yield even | {symbol: even[symbol] * factor}
        for image in (2, 1):
            for batch in (2, 1):
                yield s.all(batch, image)

    def _explore(self, first: Sizes) -> None:
        """Learn which symbols can grow, alone or together, and by what step."""
        s = self.symbols
        stuck: list[str] = []
        if s.batch and not self._grows(first, tuple(s.batch), (1,)):
            stuck += s.batch
        for symbol in s.rest:
            if not self._grows(first, (symbol,), (*STEPS, first[symbol])):
                stuck.append(symbol)
        if len(stuck) < 2 or self._grows(first, tuple(stuck), (1,)):
            return
        for i, a in enumerate(stuck):
            for b in stuck[i + 1 :]:
                self._grows(first, (a, b), (1,))

    def _grows(self, first: Sizes, group: tuple[str, ...], steps: Sequence[int]) -> bool:
        for step in dict.fromkeys(steps):
            if self._spent():
                return False
            if self._try(first | {symbol: first[symbol] + step for symbol in group}).ran:
                self.moves.append((group, step))
                return True
        return False

    def _spread(self, first: Sizes) -> list[Sizes]:
        """The first setting, and two more in which every group moves, by odd and even numbers of steps."""
        found = [first]
        batch = set(self.symbols.batch)
        for turn in (1, 2):
            moved = dict(first)
            for i, (group, step) in enumerate(self.moves):
                for symbol in group:
                    if symbol in batch:
                        moved[symbol] = 1 if turn == 1 and first[symbol] == 2 else first[symbol] + step
                    else:  # not all alike: what is wrong in squares only, or right, is to show
                        moved[symbol] += step * (i + turn)
            if moved not in found and (self._spent() or self._try(moved).ran):
                found.append(moved)
        return found
