"""Settle by values what names leave open: names that lie, and names that are gone.

An optimizer that folds a Conv and what follows into one Conv gives it the name of the first,
whose values it no longer has; another numbers all tensors anew. Two runs of both models, at
two sizes, tell what is what. A claim that is false by far is withdrawn if something else shows
that only its name is wrong: the models' outputs agree, or another tensor has these values.
(Were it withdrawn without that, a fault would vanish with its claim.) A tensor without a claim
gets one if just one tensor of the model before has its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from surgery.equivalence.session import Values
from surgery.equivalence.sites.congruence import Congruence
from surgery.equivalence.sites.recorder import Source

FAR = 1e-3  # of the largest element: what is further apart is another tensor
NEAR = 1e-4  # what is no further apart may be the same
_ROUNDS = 6  # a claim made or withdrawn changes what follows from it
_LEAST = 9  # elements; fewer agree by chance
_LOOKS = 16  # elements compared first

History = list[np.ndarray]  # one tensor in every run


def settle(match: Congruence, before: Source, after: Source) -> None:
    """Withdraw claims that are false, and add claims that values suggest; numbers the model after anew.

    Args:
        match: the models; its claims and fresh tensors change.
        before: values of the model before.
        after: values of the model after, of the same runs. Where it has none, nothing is settled.
    """
    checked: set[str] = set()
    for _ in range(_ROUNDS):
        own = [c for c in match.claims if c.after not in checked and c.after in match.b.makers]
        fresh = [name for name in match.fresh if name not in checked]
        if not own and not fresh:
            return
        theirs = match.only_before
        wanted = [*theirs, *(claim.before for claim in own), *(a.via for a, _ in match.pairs.outputs)]
        gotten = [*fresh, *(claim.after for claim in own), *(b.via for _, b in match.pairs.outputs)]
        runs_a, runs_b = before.values(wanted), after.values(gotten)
        kept = [i for i, values in enumerate(runs_b) if values and runs_a[i]]
        a = _Table([runs_a[i] for i in kept])
        b = _Table([runs_b[i] for i in kept])
        checked.update(fresh, (claim.after for claim in own))
        agree = bool(kept) and all(
            not _apart(a.of(x.via), b.of(y.via), FAR) for x, y in match.pairs.outputs if a.of(x.via) and b.of(y.via)
        )
        wrong = [c for c in own if (x := a.of(c.before)) and (y := b.of(c.after)) and _apart(x, y, FAR)]
        index = _Index(a, [*theirs, *(claim.before for claim in wrong)])
        settled = dict(match.settled)
        for claim in wrong:
            found = list(index.like(b.of(claim.after)))
            if agree or found:
                settled[claim.after] = _only(found)
        for name in fresh:
            if partner := _only(list(index.like(b.of(name)))):
                settled[name] = partner
        if settled == match.settled:
            return
        match.settled = settled
        match.number_after()


class _Table:
    """Tensors over several runs."""

    def __init__(self, runs: Sequence[Values]) -> None:
        self.runs = runs

    def of(self, name: str) -> History:
        """Its value in every run; empty where it lacks one or is no tensor."""
        found = [run.get(name) for run in self.runs]
        arrays = [value for value in found if isinstance(value, np.ndarray)]
        return arrays if len(arrays) == len(self.runs) else []


class _Index:
    """Finds the tensors of the model before that have given values."""

    def __init__(self, table: _Table, names: Iterable[str]) -> None:
        self._table = table
        self._names: dict[Any, list[str]] = {}
        for name in dict.fromkeys(names):
            if history := table.of(name):
                self._names.setdefault(_kind(history), []).append(name)

    def like(self, history: History) -> Iterator[str]:
        """Those of the same shapes, dtype and values; none for a tensor that says too little.

        Those in doubt count, so that what looks like two tensors is not taken for one.
        """
        if not history or not _telling(history):
            return
        for name in self._names.get(_kind(history), ()):
            other = self._table.of(name)
            scale = max(_peak(x) for x in history)
            if not _apart(_looks(other), _looks(history), FAR, scale) and not _apart(other, history, FAR):
                yield name if not _apart(other, history, NEAR) else ""


def _looks(history: History) -> History:
    """A few elements of each."""
    return [x.reshape(-1)[:: max(x.size // _LOOKS, 1)] for x in history]


def _only(found: list[str]) -> str | None:
    return found[0] if len(found) == 1 and found[0] else None


def _kind(history: History) -> Any:
    return history[0].dtype.str, tuple(x.shape for x in history)


def _telling(history: History) -> bool:
    return all(x.size >= _LEAST and x.dtype.kind in "fiu" and np.any(x != x.reshape(-1)[0]) for x in history)


def _peak(x: np.ndarray) -> float:
    if x.dtype.kind not in "fiu" or not x.size:
        return 0.0
    finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    return float(np.abs(finite.astype(np.float64)).max(initial=0.0))


def _apart(before: History, after: History, share: float, scale: float = 0.0) -> bool:
    """Whether two tensors differ by more than `share` of their scale in any run."""
    for x, y in zip(before, after, strict=True):
        if x.shape != y.shape or x.dtype != y.dtype:
            return True
        if x.dtype.kind == "f":
            with np.errstate(invalid="ignore", over="ignore"):
                gap = np.abs(x.astype(np.float64) - y)
            alike = (gap <= share * max(scale, _peak(x))) | (x == y) | (np.isnan(x) & np.isnan(y))
            if not alike.all():
                return True
        elif not np.array_equal(x, y):
            return True
    return False
