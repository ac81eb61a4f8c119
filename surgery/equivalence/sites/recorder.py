"""Values of inner tensors, as runs of the whole model give them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from surgery.equivalence.session import Failed, Session, Values
from surgery.equivalence.subject import Subject

Feeds = Mapping[str, Any]


class Source(Protocol):
    """Where the values of inner tensors come from. ``real`` tells whether a run gave them."""

    real: bool

    def values(self, names: Iterable[str]) -> Sequence[Values]:
        """The tensors `names` in each of the runs; what can't be had is left out."""
        ...


class Recorder:
    """Runs a model on given inputs, and keeps what it was asked for.

    Args:
        subject: the model.
        feeds: the inputs of each run, by the names of the subject.
        left: how many seconds there are, at any moment.
        known: what runs on these inputs gave already, if they were made.
    """

    real = True

    def __init__(
        self, subject: Subject, feeds: Sequence[Feeds], left: Callable[[], float], known: Sequence[Values] = ()
    ) -> None:
        self.subject = subject
        self.feeds = list(feeds)
        self._left = left
        self._kept: list[Values] = [dict(values) for values in known] or [{} for _ in feeds]
        self._asked: set[str] = set.intersection(*map(set, self._kept)) if self._kept else set()
        self.failed: set[int] = set()  # runs that did not end well

    def values(self, names: Iterable[str]) -> Sequence[Values]:
        """See `Source`. Runs once for all names that are new; those of other runs are kept."""
        wanted = list(dict.fromkeys(names))
        if new := [name for name in wanted if name not in self._asked]:
            self._asked.update(new)
            self._record(new)
        return [{name: kept[name] for name in wanted if name in kept} for kept in self._kept]

    def forget(self) -> None:
        """Free the memory."""
        self._kept = [{} for _ in self.feeds]
        self._asked.clear()

    def _record(self, names: list[str]) -> None:
        via = {port.name: port.via for port in self.subject.inputs}
        fed = [{via.get(name, name): value for name, value in feeds.items()} for feeds in self.feeds]
        for kept, given in zip(self._kept, fed, strict=True):
            kept.update((name, given[name]) for name in names if name in given)
        made = [name for name in names if name not in (fed[0] if fed else {})]
        weights = [name for name in made if name in self.subject.weights]
        for name in weights:
            for kept in self._kept:
                kept[name] = self.subject.weight(name)
        made = [name for name in made if name not in self.subject.weights]
        try:
            session = Session(self.subject, made, only=True)
        except Failed:
            # The type of one of them can't be told, or can't be an output.
            if len(made) > 1 and self._left() > 0:
                self._record(made[::2])
                self._record(made[1::2])
            return
        known = [name for name in made if name in session.names]
        for i, (kept, feeds) in enumerate(zip(self._kept, self.feeds, strict=True)):
            if i in self.failed or not known:
                continue
            try:
                kept.update(session.run(feeds, known, seconds=max(self._left(), 0.1)))
            except Failed:
                self.failed.add(i)


def deadline(seconds: float) -> Callable[[], float]:
    """A clock that tells how many seconds are left of `seconds` from now on."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
