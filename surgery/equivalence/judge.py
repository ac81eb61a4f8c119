"""Judge a model against the baseline: which results are other, and is it rounding?

A difference beyond the tolerance is believed only once it is known by how much rounding alone
moves that output on that probe: the model before is then run with the runtime's optimisation,
and with two threads. What is left may still be rounding that the model itself amplifies, see
`amplified`. Most comparisons pass, and never pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from surgery.equivalence.compare import DEAD, ILL, Distance, Rule, canonical, distance, slices, tied
from surgery.equivalence.pairing import Pairs, recast
from surgery.equivalence.ports import Port
from surgery.equivalence.probes import Case
from surgery.equivalence.session import Failed, Session, Values
from surgery.equivalence.subject import Subject
from surgery.equivalence.taps import Tap
from surgery.report import OutputReport

_ANYTHING = Rule(float("inf"), 0.0)  # only shapes, dtypes and the places of NaN and infinities count


class Floors:
    """By how much rounding alone moves each result of a model; measured when first asked for.

    Args:
        subject: the model.
        cases: its probes, with their ``outputs``.
    """

    def __init__(self, subject: Subject, cases: Sequence[Case]) -> None:
        self.subject = subject
        self.cases = list(cases)
        self._known: dict[int, dict[str, float]] = {}
        self._slices: dict[tuple[int, str], set[tuple[int, int]]] = {}

    def ill(self, case: Case, name: str) -> set[tuple[int, int]]:
        """The slices of an output that rounding alone moves by a good part of what is allowed of them."""
        self.of(case, name)
        return self._slices.get((id(case), name), set())

    def of(self, case: Case, name: str) -> float:
        """The floor, absolute, of an output or tap; infinite where not even the kind of value holds."""
        if id(case) not in self._known:
            self._measure([c for c in (*self.cases, case) if id(c) not in self._known])
        return self._known[id(case)].get(name, 0.0)

    def _measure(self, cases: list[Case]) -> None:
        # All at once: a session that optimises holds a second copy of weights, and is not to stay.
        taps = {tap.tensor: tap for tap in self.subject.taps}
        self._known.update((id(case), {}) for case in cases)
        for optimise, threads in ((True, 1), (False, 2)):
            try:
                session = Session(self.subject, list(taps), optimise=optimise, threads=threads)
            except Failed:
                continue
            for case in cases:
                floors = self._known[id(case)]
                for name, value in _run(session, case).items():
                    if name not in case.outputs:
                        continue
                    a, b = case.outputs[name], value
                    if name in taps:
                        a, b = canonical(taps[name], a), canonical(taps[name], b)
                    gap = distance(a, b, _ANYTHING)
                    self._slices.setdefault((id(case), name), set()).update(slices(a, b, Rule(), 0.125))
                    floors[name] = max(floors.get(name, 0.0), gap.max_abs if gap.ok else float("inf"))


def _run(session: Session, case: Case) -> Values:
    try:
        return session.run(case.feeds)
    except Failed:
        return {}


@dataclass
class Ruling:
    """One result on one probe. ``void`` says why it is no evidence either way, or is empty."""

    case: Case
    gap: Distance
    void: str = ""
    note: str = ""


@dataclass
class Judge:
    """Collects rulings on one model.

    Args:
        floors: of the model before.
        pairs: what belongs to what.
        rule: what may differ.
        given: the rule is the user's own, and is not widened by the floor.
        values_only: the contract lets results move: logits are not looked at.
        explain: tells whether rounding explains a difference; see `Amplified.explain`.
    """

    floors: Floors
    pairs: Pairs
    rule: Rule
    given: bool = False
    values_only: bool = False
    explain: Callable[[Case, str, str, Any], str] = lambda *_: ""
    rulings: dict[str, list[Ruling]] = field(default_factory=dict)
    logits: dict[str, list[Ruling]] = field(default_factory=dict)
    _hopeless: set[str] = field(default_factory=set)
    said: dict[str, set[Any]] = field(default_factory=dict)  # by output: its one value, or None, in each probe

    def hear(self, case: Case, after: Values) -> None:
        """Take the results of the model after on `case` into account."""
        for a, b in self.pairs.outputs:
            if a.via in case.outputs and b.via in after:
                self.said.setdefault(a.name, set()).add(_one_value(case.outputs[a.via]))
                ruling = self._rule(case, a.via, recast(case.outputs[a.via], a, self.pairs), after[b.via], self._tap(a))
                if not (ruling.gap.ok or ruling.gap.structural):
                    ruling = self._explained(ruling, a.via, b.via, after[b.via])
                false = _false_dims(b, after[b.via])
                if false and not _false_dims(a, case.outputs[a.via]):
                    ruling = Ruling(case, Distance(outside=1.0, why=false, structural=True))
            else:
                ruling = Ruling(case, Distance(outside=1.0, why="numpy has no such type", structural=True))
            self.rulings.setdefault(a.name, []).append(ruling)
        if self.values_only or self.rule.exact:
            return
        for tap_a, tap_b in self.pairs.taps:
            x, y = case.outputs.get(tap_a.tensor), after.get(tap_b.tensor)
            if x is None or y is None:
                continue
            if np.shape(x) == np.shape(y) and np.asarray(x).dtype == np.asarray(y).dtype:
                ruling = self._rule(case, tap_a.tensor, canonical(tap_a, x), canonical(tap_b, y), None)
                if not ruling.gap.ok:
                    ruling = self._explained(ruling, tap_a.tensor, tap_b.tensor, y)
                self.logits.setdefault(tap_a.output, []).append(ruling)

    def reports(self) -> Iterator[OutputReport]:
        """One report an output, verdict "equal" or "different"."""
        for port, _ in self.pairs.outputs:
            rulings = self.rulings.get(port.name, [])
            report = _report(port, rulings)
            behind = _report(port, self.logits.get(port.via, []))
            if report.verdict == "equal" and behind.verdict == "different":
                report.verdict, report.outside = "different", behind.outside
                report.note = f"the logits it is made from: {behind.note}, max |d| {behind.max_abs:.3g}"
            if report.verdict == "equal" and (mute := self.mute(port.name)):
                report.note = "; ".join(filter(None, [report.note, mute]))
            yield report

    def mute(self, name: str) -> str:
        """In words, that an output says nothing: it is of one value, whatever the probe; or ""."""
        values = self.said.get(name, set())
        only = next(iter(values)) if len(values) == 1 else None
        return "" if only is None else f"weak evidence: it is {only} throughout, on every probe"

    def guilty_cases(self) -> list[Case]:
        """The probes on which something differs, the smallest first."""
        every = [*self.rulings.values(), *self.logits.values()]
        bad = [r.case for rulings in every for r in _standing(rulings) if not r.gap.ok]
        return sorted(bad, key=lambda case: sum(np.size(v) for v in case.feeds.values() if v is not None))

    def _tap(self, port: Port) -> Tap | None:
        return next((t for t in self.floors.subject.taps if t.output == port.via and t.picks), None)

    def _rule(self, case: Case, name: str, a: Any, b: Any, tap: Tap | None) -> Ruling:
        gap = distance(a, b, self.rule)
        if gap.structural or self.rule.exact:
            return Ruling(case, gap)
        if gap.ok:
            if not self.given and slices(a, b, self.rule) and (bad := self._bad_slices(case, name, a, b)):
                axis, index = min(bad)
                gap.why = f"slice {index} of axis {axis} is off by far at its own scale, with {len(bad) - 1} others"
                gap.outside = len(bad) / sum(np.shape(a))
            return Ruling(case, gap)
        if tap is not None and tap.tensor in case.outputs:
            floor = self.floors.of(case, tap.tensor)
            if tied(tap, np.asarray(case.outputs[tap.tensor]), a, b, self.rule, floor):
                return Ruling(case, Distance(gap.max_abs, gap.max_rel), note="ties, picked otherwise")
        floor = self.floors.of(case, name)
        discrete = not _has_floats(a)
        if (discrete and floor > 0) or floor == float("inf"):
            return Ruling(case, gap, void="rounding alone decides it")
        if 4 * floor > ILL * gap.peak and not discrete:
            wide = distance(a, b, self.rule, floor)
            return Ruling(case, wide, void=f"rounding alone moves it by {floor:.2g}, of {gap.peak:.2g}")
        if not discrete and gap.peak < DEAD and gap.max_abs < DEAD:
            return Ruling(case, gap, void=f"it stays below {DEAD:g}")
        return Ruling(case, gap if self.given else distance(a, b, self.rule, floor))

    def _bad_slices(self, case: Case, name: str, a: Any, b: Any) -> set[tuple[int, int]]:
        return slices(a, b, self.rule) - self.floors.ill(case, name)

    def _explained(self, ruling: Ruling, ours: str, theirs: str, value: Any) -> Ruling:
        """The ruling, or one that says what rounding it is; after one failure no other is tried."""
        if ours in self._hopeless or self.rule.exact or self.values_only:
            return ruling
        if words := self.explain(ruling.case, ours, theirs, value):
            gap = replace(ruling.gap, why="", outside=0.0)
            return Ruling(ruling.case, gap, note=words)
        self._hopeless.add(ours)
        return ruling


def _has_floats(value: Any) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return any(_has_floats(v) for v in (value.values() if isinstance(value, dict) else value))
    return np.asarray(value).dtype.kind in "fc"


def _one_value(value: Any) -> str | None:
    """The value that all elements of a tensor have, NaN for one; None where they differ or there are none."""
    if not isinstance(value, np.ndarray) or not value.size:
        return None
    first = value.reshape(-1)[0]
    with np.errstate(invalid="ignore"):
        same = bool((value == first).all()) or (value.dtype.kind == "f" and bool(np.isnan(value).all()))
    return f"{first}" if same else None


def _false_dims(port: Port, value: Any) -> str:
    """What is declared of an output and is not so; empty if all is."""
    if port.kind != "tensor" or port.dims is None or not isinstance(value, np.ndarray):
        return ""
    wrong = [
        f"dim {i} is declared as {d} and was {n}"
        for i, (d, n) in enumerate(zip(port.dims, value.shape, strict=False))
        if isinstance(d, int) and d >= 0 and d != n
    ]
    return ", ".join(wrong)


def _standing(rulings: list[Ruling]) -> list[Ruling]:
    """The rulings that count: void ones only where there are no others."""
    return [r for r in rulings if not r.void] or rulings


def _report(port: Port, rulings: list[Ruling]) -> OutputReport:
    total, notes = Distance(), []
    standing = _standing(rulings)
    for ruling in standing:
        total = total.worst(ruling.gap)
        if note := ruling.note or ruling.void:
            notes.append(note)
    if total.why:
        notes.insert(0, total.why)
    elif dropped := len(rulings) - len(standing):
        notes.append(f"{dropped} of {len(rulings)} probes dropped: {next(r.void for r in rulings if r.void)}")
    return OutputReport(
        port.name,
        total.max_abs,
        total.max_rel,
        total.cosine,
        total.outside,
        "equal" if total.ok else "different",
        "; ".join(dict.fromkeys(notes)),
    )
