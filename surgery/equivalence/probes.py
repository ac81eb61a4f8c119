"""Probes: the inputs that a model is run on.

Sizes are found by trying, integer inputs get values by what they are for, and images are of
several kinds. Everything follows from the seed.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import resource
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surgery.equivalence.ports import Port
from surgery.equivalence.roles import Role, Roles, trace
from surgery.equivalence.session import Failed, Values
from surgery.equivalence.sizes import MAX_SECONDS, Search, Sizes, Symbols, Try
from surgery.equivalence.subject import Subject
from surgery.equivalence.values import KINDS, fill
from surgery.report import Probe

Run = Callable[[Mapping[str, Any], float], Values]  # feeds, seconds -> outputs; raises Failed

_RANKS = (4, 3, 2, 1, 0)  # to try where a file does not tell the rank of an input


@dataclass
class Case:
    """One probe: what is fed, and what came of it.

    ``stored`` are the outputs of a reference, ``outputs`` those of the model before.
    """

    kind: str
    feeds: dict[str, Any]
    stored: dict[str, Any] = field(default_factory=dict)
    outputs: Values = field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0

    def probe(self) -> Probe:
        """For the report."""
        return Probe(self.kind, {name: shape_of(value) for name, value in self.feeds.items()}, self.note)

    def __str__(self) -> str:
        return ", ".join(f"{name} {shape_of(value)}" for name, value in self.feeds.items())


def shape_of(value: Any) -> list[int]:
    """The shape of a feed; of a sequence, that of its first element."""
    return list(np.shape(value[0] if isinstance(value, list) and value else value))


class Prober:
    """Makes probes for a subject.

    Args:
        subject: the model to make them for.
        seed: of all chance.
        given: shapes that the user asks for, one mapping a probe.
    """

    def __init__(self, subject: Subject, seed: int, given: Sequence[Mapping[str, Sequence[int]]] = ()) -> None:
        self.subject = subject
        self.seed = seed
        self.given = list(given)
        self.roles: Roles = trace(subject)
        self.plan: dict[str, int] = {port.name: 0 for port in subject.inputs}
        self.symbols = self._symbols({})
        self.found: list[tuple[Symbols, Sizes]] = []
        self.tries = 0
        self.error = ""

    def guesses(self) -> list[Case]:
        """Probes for a model of which only the batch is free: they need no search."""
        if self.given or self.symbols.rest or any(port.dims is None for port in self.subject.inputs):
            return []
        batches = (1, 2, 3) if self.symbols.batch else (0, 0, 0)
        self.found = [(self.symbols, self.symbols.all(batch, 0)) for batch in batches]
        try:
            return [self.case(i, KINDS[i]) for i in range(len(self.found))]
        except Failed as error:  # too large
            self.error, self.found = str(error), []
            return []

    def search(self, run: Run, seconds: float = MAX_SECONDS) -> list[Case]:
        """Probes at sizes that the model was seen to accept; none where it accepts none."""
        end = time.monotonic() + seconds
        unknown = any(port.dims is None for port in self.subject.inputs)
        self.found = []
        for given in self.given or [{}]:
            for rank in _RANKS if unknown else (1,):
                symbols = self._symbols(given, rank)
                search = Search(
                    lambda sizes, symbols=symbols: self._attempt(symbols, sizes, run, end),  # type: ignore[misc]
                    symbols,
                    max(end - time.monotonic(), 1.0),
                )
                sizes = search.run()
                self.tries += search.tries
                if sizes:
                    self.found += [(symbols, s) for s in (sizes[:1] if self.given else sizes)]
                    break
                self.error = search.error
        if self.found:
            self._lessen_nan(run, end)
        while self.found and len(self.found) < 3:  # sizes that can't vary, or the user's: more kinds
            self.found.append(self.found[len(self.found) - 1])
        return [self.case(i, KINDS[i % len(KINDS)]) for i in range(len(self.found))]

    def bound(self, inputs: Sequence[Port], run: Run) -> list[Case]:
        """Probes at the dims that another model's inputs fix and this one's leave free."""
        narrow = {port.name: port.dims for port in inputs if port.dims is not None}
        known: Sizes = {}
        for name, shape in self.symbols.shapes.items():
            for symbol, dim in zip(shape, narrow.get(name, ()), strict=False):
                if isinstance(symbol, str) and isinstance(dim, int) and dim >= 0:
                    known[symbol] = dim
        if not known:
            return []
        # Sizes found at shapes that the user gave name none of the symbols.
        cases, base = [], self.symbols.all(2, 64, 12) | (self.found[0][1] if self.found else {})
        for kind in KINDS[:2]:
            self.found.append((self.symbols, base | known))
            case = self.case(len(self.found) - 1, kind)
            try:
                case.outputs = run(case.feeds, 60.0)
                cases.append(case)
            except Failed:
                self.found.pop()
        return cases

    def loose(self, run: Run) -> list[Case]:
        """Probes with integers of either sign and any size, in inputs whose values nothing bounds.

        That is only known by trying: they are kept where the model runs on them, and gives no more
        NaN than before.
        """
        if not self.found:
            return []
        cases = []
        symbols, sizes = max(self.found, key=lambda found: sum(found[1].values()))
        free = [p for p in self.subject.inputs if p.numpy.kind in "iu" and self._role(p).loose]
        for number, kind in enumerate(("signed", "wide") if free else ()):
            taken: dict[str, Role] = {}
            case, most = self._make(symbols, sizes, KINDS[2], 200 + number), 1.0
            with contextlib.suppress(Failed, MemoryError):
                most = nan_share(run(case.feeds, 10.0))
            for port in free:  # one at a time: one that must stay small does not hold back the others
                role = Role(kind, values=self._role(port).values)  # type: ignore[arg-type]
                tried = self._make(symbols, sizes, KINDS[2], 200 + number, taken | {port.name: role})
                try:
                    tried.outputs = run(tried.feeds, 10.0)
                except (Failed, MemoryError):
                    continue
                if nan_share(tried.outputs) <= most:
                    taken[port.name], case = role, tried
            if taken:
                case.note = f"{kind} integers in {', '.join(taken)}"
                cases.append(case)
        return cases

    def more(self) -> Iterator[Case]:
        """Further probes, one for each kind of image at the smallest size."""
        if not self.found:
            return
        small = min(self.found, key=lambda found: sum(found[1].values()))
        kinds = [*KINDS[3:], *KINDS[:3]]
        yield from (self._make(*small, kind, 100 + i) for i, kind in enumerate(kinds))

    def case(self, index: int, kind: str) -> Case:
        """The probe of number `index` of the sizes found."""
        symbols, sizes = self.found[index]
        return self._make(symbols, sizes, kind, index)

    def _symbols(self, given: Mapping[str, Sequence[int]], rank: int = 1) -> Symbols:
        return Symbols.of(self.subject.inputs, self.roles.fixed, given, rank)

    def _role(self, port: Port) -> Role:
        plans = self.roles.plans[port.name]
        return plans[min(self.plan[port.name], len(plans) - 1)]

    def _make(
        self, symbols: Symbols, sizes: Sizes, kind: str, number: int, roles: Mapping[str, Role] | None = None
    ) -> Case:
        shapes = {port.name: symbols.shape(port.name, sizes) for port in self.subject.inputs}
        _fits_memory(self.subject.inputs, shapes)
        like = max(shapes.values(), key=lambda shape: (len(shape) == 4, len(shape) > 1), default=[])
        feeds = {}
        for port in self.subject.inputs:
            rng = np.random.default_rng([self.seed, number, zlib.crc32(port.name.encode())])
            feeds[port.name] = fill(
                port, shapes[port.name], (roles or {}).get(port.name) or self._role(port), kind, rng, like
            )
        image = any(self._role(port).kind == "image" for port in self.subject.inputs)
        return Case(kind if image or kind in ("normal", "uniform") else _plain(kind), feeds)

    def _attempt(self, symbols: Symbols, sizes: Sizes, run: Run, end: float) -> Try:
        """Run once; where a value seems to be at fault, try the next plan for it at the same sizes."""
        before = dict(self.plan)
        for runs in itertools.count(1):
            seconds = min(10.0, end - time.monotonic())
            if seconds <= 0:
                return Try(self.error or "the time for finding sizes was over", runs=runs)
            try:
                outputs = run(self._make(symbols, sizes, KINDS[0], 0).feeds, seconds)
            except (Failed, MemoryError) as error:
                node = error.node if isinstance(error, Failed) else ""
                if self._next_plan(node):
                    continue
                self.plan = before
                return Try(str(error) or "not enough memory", node, runs=runs)
            shapes = [np.shape(value) for value in outputs.values() if isinstance(value, np.ndarray)]
            return Try(empty=any(0 in shape for shape in shapes), runs=runs)
        raise AssertionError

    def _next_plan(self, node: str) -> bool:
        """Move on an integer input that reaches the failing node; False where there is none."""
        for port in self.subject.inputs:
            plans = self.roles.plans[port.name]
            whole = port.numpy.kind in "iu"
            if whole and node in self.roles.reached[port.name] and self.plan[port.name] + 1 < len(plans):
                self.plan[port.name] += 1
                return True
        return False

    def _lessen_nan(self, run: Run, end: float) -> None:
        """Keep, of each input's plans, the one with the least NaN: NaN hides what it covers."""

        def share() -> float:
            try:
                return nan_share(run(self.case(0, KINDS[0]).feeds, 10.0))
            except (Failed, MemoryError):
                return 2.0

        best = share()
        for port in self.subject.inputs:
            kept = self.plan[port.name]
            for plan in range(len(self.roles.plans[port.name])):
                if best == 0.0 or time.monotonic() > end:
                    break
                self.plan[port.name] = plan
                if (now := share()) < best:
                    best, kept = now, plan
            self.plan[port.name] = kept


def _fits_memory(inputs: Sequence[Port], shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise Failed where inputs are too large to be made, or to be run on; making them would take long."""
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    counts = {port.name: math.prod(shapes[port.name]) for port in inputs}
    # They are drawn in double precision, and what reads an input writes about as much again.
    needed = sum(counts[port.name] * (2 * port.numpy.itemsize + 16) for port in inputs)
    if limit != resource.RLIM_INFINITY and needed > limit:
        name = max(counts, key=lambda name: counts[name])
        raise Failed(
            f"an input {name!r} of shape {list(shapes[name])} takes {needed / 1e9:.3g} GB to make and run on, "
            f"and there are {limit / 1e9:.3g} GB"
        )


def nan_share(outputs: Values) -> float:
    """The share of NaN in all floats of a result."""
    floats = [v for v in outputs.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    total = sum(v.size for v in floats)
    return sum(int(np.isnan(v).sum()) for v in floats) / total if total else 0.0


def _plain(kind: str) -> str:
    return "1/f" if kind == "1/f" else "normal"
