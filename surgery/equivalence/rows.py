"""Batches for a model whose batch was fixed before: each must be what runs of the model before give, one by one.

A dim that was a number and is free now can't be compared at other sizes, for the model before takes none. But rows of
a batch do not know of each other: several runs of the model before are fed as one batch to the model after, whose
results are taken apart again, and each part is held against its own run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surgery.equivalence.pairing import Pairs, renamed
from surgery.equivalence.probes import Case, shape_of
from surgery.equivalence.session import Failed, Values
from surgery.equivalence.subject import Subject
from surgery.report import Probe

Run = Callable[[dict[str, Any]], Values]  # feeds -> outputs; raises Failed

KIND = "batch"  # of these probes
COUNTS = (2, 3, 5)  # runs in one batch
TIMES = (2, 3, 0.5)  # the size before, of a dim that is freed and is no batch
SCALES = (1.0, -0.75, 0.5, 1.25, -0.4)  # of values, to have as many runs of one shape


class Rows:
    """The dims that are free only in the model after.

    Args:
        before: the model before.
        after: the model after.
        pairs: what belongs to what.
    """

    def __init__(self, before: Subject, after: Subject, pairs: Pairs) -> None:
        self.pairs = pairs
        self.axes: dict[str, int] = {}  # of inputs before: where the batch is
        self.others: dict[Hashable, list[tuple[str, int]]] = {}  # by dim: inputs before, and axes, where it stands
        self.notes: list[str] = []
        ports = {port.name: port for port in before.inputs}
        found = [
            (pairs.inputs[port.name], axis, was, now)
            for port in after.inputs
            for axis, (was, now) in enumerate(
                zip(ports[pairs.inputs[port.name]].dims or (), port.dims or (), strict=False)
            )
            if isinstance(was, int) and was >= 0 and not (isinstance(now, int) and now >= 0)
        ]
        batch = next((now for _, axis, _, now in found if axis == 0), None)
        self.size = next((was for _, axis, was, _ in found if axis == 0), 0)
        for name, axis, was, now in found:
            if now == batch:
                self.axes[name] = axis
            else:
                self.others.setdefault(now or (name, axis), []).append((name, axis))
                self.notes.append(
                    f"{name!r} was {was} at axis {axis}: other sizes can't be compared with the model before"
                )

    def batches(
        self, cases: Sequence[Case], before: Run, after: Run
    ) -> Iterator[tuple[Probe, list[tuple[Case, Values]]]]:
        """Batches of several runs, and runs taken apart into single rows: each run with its part of the results.

        Raises:
            Failed: the model after does not run on one of them.
        """
        if not self.axes or self.size == 0:
            return
        runs = list(self._alike(cases, before))
        for count in COUNTS if runs else ():
            some = runs[:count]
            if len(some) == count:
                feeds = self._stacked(some)
                values = after(renamed(feeds, self.pairs))
                yield (
                    _probe(feeds, count * self.size),
                    [(c, self._part(values, c, i, count)) for i, c in enumerate(some)],
                )
        if self.size > 1 and runs:
            case = runs[0]
            rows = [self._row(case, i) for i in range(self.size)]
            yield _probe(rows[0], 1), [(case, self._joined([after(renamed(row, self.pairs)) for row in rows], case))]

    def resized(self, case: Case, after: Run) -> None:
        """Run the model after at other sizes of what is no batch; nothing tells what it is to give there.

        Raises:
            Failed: it does not run at any other size of a dim.
        """
        stuck: dict[Hashable, Failed] = {}
        moved: set[Hashable] = set()
        every = list(self.others)
        for dims in [every, *([dim] for dim in every if len(every) > 1)]:  # some go together only
            for times in TIMES if not moved.issuperset(dims) else ():
                feeds = dict(case.feeds)
                for name, axis in (place for dim in dims for place in self.others[dim]):
                    size = max(int(np.shape(feeds[name])[axis] * times), 1)
                    feeds[name] = np.take(feeds[name], range(size), axis, mode="wrap")
                try:
                    after(renamed(feeds, self.pairs))
                    moved.update(dims)
                    break
                except Failed as error:
                    stuck.update((dim, error) for dim in dims)
        if left := [dim for dim in every if dim not in moved]:
            raise stuck[left[0]]

    def _alike(self, cases: Sequence[Case], before: Run) -> Iterator[Case]:
        """Runs of one shape and unlike values.

        Whole numbers are moved along, for others might not be taken; a scale alone is nothing to who normalises.
        """
        if not cases:
            return
        first = min(cases, key=lambda case: sum(np.size(v) for v in case.feeds.values()))
        for step, scale in enumerate(SCALES):
            feeds = {
                name: _other(value, scale, step) if name in self.axes else value for name, value in first.feeds.items()
            }
            try:
                outputs = first.outputs if scale == 1.0 else before(feeds)
            except Failed:  # values that the model does not take
                continue
            yield replace(first, feeds=feeds, outputs=outputs)

    def _stacked(self, cases: Sequence[Case]) -> dict[str, Any]:
        return {
            name: np.concatenate([case.feeds[name] for case in cases], self.axes[name]) if name in self.axes else value
            for name, value in cases[0].feeds.items()
        }

    def _row(self, case: Case, index: int) -> dict[str, Any]:
        return {
            name: np.take(value, [index], self.axes[name]) if name in self.axes else value
            for name, value in case.feeds.items()
        }

    def _part(self, values: Values, case: Case, index: int, count: int) -> Values:
        """The results that belong to one run of `count`; those that the batch did not reach, as they are."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            axis = self._axis(name, case, np.shape(value), count)
            found[name] = value if axis is None else np.split(value, count, axis)[index]
        return found

    def _joined(self, rows: Sequence[Values], case: Case) -> Values:
        """The results of single rows as those of one run."""
        found: dict[str, Any] = {}
        for name, value in rows[0].items():
            single = np.shape(value)
            whole = self._whole(name, case)
            axis = next(
                (i for i, (a, b) in enumerate(zip(single, whole, strict=False)) if a * self.size == b != a), None
            )
            found[name] = value if axis is None else np.concatenate([row[name] for row in rows], axis)
        return found

    def _axis(self, name: str, case: Case, shape: tuple[int, ...], count: int) -> int | None:
        whole = self._whole(name, case)
        axes = [i for i, (a, b) in enumerate(zip(shape, whole, strict=False)) if a != b]
        return (
            axes[0]
            if len(axes) == 1 and len(shape) == len(whole) and shape[axes[0]] == count * whole[axes[0]]
            else None
        )

    def _whole(self, name: str, case: Case) -> tuple[int, ...]:
        """The shape of the result that the model before gives, by the name that the model after has for it."""
        via = next((a.via for a, b in self.pairs.outputs if b.via == name), name)
        return np.shape(case.outputs.get(via, ()))


def _probe(feeds: dict[str, Any], rows: int) -> Probe:
    return Probe(
        KIND, {name: shape_of(value) for name, value in feeds.items()}, f"{rows} rows, compared with single runs"
    )


def _other(value: Any, scale: float, step: int) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    moved = np.roll(value, step)
    return (moved * scale).astype(value.dtype) if value.dtype.kind == "f" else moved
