"""Examine models: the baseline of the one before, its evidence, and what comes after."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from surgery.equivalence.compare import EXACT, REFERENCE, RULES, Distance, Rule, distance, precision
from surgery.equivalence.evidence import SHARE, Fault, plant
from surgery.equivalence.judge import Floors, Judge
from surgery.equivalence.locate import first_difference, where_it_stops
from surgery.equivalence.pace import Pace
from surgery.equivalence.pairing import Pairs, fits, narrowed, pair, renamed
from surgery.equivalence.probes import Case, Prober, nan_share
from surgery.equivalence.promise import Promise
from surgery.equivalence.reference import evidence, hold
from surgery.equivalence.rows import Rows
from surgery.equivalence.session import Failed, Session, Values, extras
from surgery.equivalence.sizes import MAX_SECONDS
from surgery.equivalence.stages import Stages
from surgery.equivalence.subject import Subject
from surgery.equivalence.userdata import check_probe, parse_probe, read_cases
from surgery.errors import BadInput
from surgery.report import Evidence, OutputReport, Verification

RUN_SHARE = 0.1  # of the budget, for one run of the model before; comparing takes dozens


@dataclass
class Settings:
    """What the user asked for; see `runner.Verifier`."""

    before: Path | None
    seed: int = 0
    probes: list[str | dict[str, list[int]]] = field(default_factory=list)
    inputs: list[Path] = field(default_factory=list)
    reference: Path | None = None
    rtol: float | None = None
    atol: float | None = None
    whole: bool = True  # run the whole model; else only its sites are verified
    budget: float = 300.0
    match: str = "order"
    share: float = SHARE
    repro: Path | None = None  # where sites that fail are written down


class Examiner:
    """Holds the model before, its probes and its results; arrays stay here.

    Args:
        settings: what the user asked for.
        progress: is told in words what goes on.
        pace: how many runs go on at once.
    """

    def __init__(self, settings: Settings, progress: Callable[[str], None], pace: Pace | None = None) -> None:
        self.settings = settings
        self.progress = progress
        self.end = time.monotonic() + settings.budget
        self.pace = pace or Pace()
        self.subject: Subject | None = None
        self.session: Stages | None = None
        self.prober: Prober | None = None
        self.shapes: list[dict[str, list[int]]] = []  # that the user asks for
        self.cases: list[Case] = []
        self.bound: list[Case] = []  # at the dims that the last model after fixes
        self.gave: dict[int, Values] = {}  # by the id of a case: what the last model after gave for it
        self.stored: list[Case] = []  # of the reference
        self.faults: list[Fault] = []
        self._beside = ThreadPoolExecutor(1)
        self._planting: Future[None] | None = None
        self.floors: Floors | None = None
        self.refused = ""  # why the model before gives no results
        self.notes: list[str] = []
        self.least = (0.0, 0.0)  # rtol and atol that the passes' contracts allow

    # ---- the model before -------------------------------------------------------------------

    def baseline(self) -> None:
        """Load the model before, find probes, run them, and plant faults.

        Raises:
            BadInput: the model can't be read, or the user's data does not fit it.
        """
        if self.settings.before is None:
            return
        self.subject = Subject.read(self.settings.before)
        user = self._user_cases(self.subject)
        if not self.settings.whole:
            self.refused = "the whole model was not to be run"
            return
        try:
            self.session = Stages(self.subject, extras(self.subject))
        except Failed as error:
            self.refused = f"the runtime does not load the model before: {error}"
            return
        self.cases = self._given(user) + self._made(self.subject, self.session)
        if not self.cases:
            self.refused = f"the runtime does not run the model before: {self.prober and self.prober.error}"
            return
        self.floors = Floors(self.subject, self.cases)
        self.faults = [Fault(name) for name in self.subject.plants]
        self.progress("planting faults")
        self._planting = self._beside.submit(self._plant_all)
        while not self._planting.done() and not self.pace.hurry.is_set():  # else it goes on beside the comparison
            wait([self._planting], 0.01)

    def _plant_all(self) -> None:
        """All that is to be learnt of the baseline, and is not needed to begin a comparison."""
        assert self.subject
        self._gather_evidence()
        self._report_branches()
        kept = {*(port.via for port in self.subject.outputs), *extras(self.subject)}
        for case in self.cases:
            case.outputs = {name: value for name, value in case.outputs.items() if name in kept}

    def _planted(self) -> None:
        """Wait until all faults are planted."""
        if self._planting:
            self._planting.result()

    def _user_cases(self, subject: Subject) -> list[Case]:
        """The user's data as cases; checked before anything slow is done."""
        s = self.settings
        self.shapes = [parse_probe(given) if isinstance(given, str) else given for given in s.probes]
        for shapes in self.shapes:
            check_probe(shapes, subject.inputs)
        found = []
        for path in s.inputs:
            for feeds, _ in read_cases(path, subject.inputs, subject.outputs, need_outputs=False):
                found.append(Case("user", dict(feeds), note=path.name))
        if s.reference:
            for feeds, stored in read_cases(s.reference, subject.inputs, subject.outputs, need_outputs=True):
                case = Case("reference", dict(feeds), stored=dict(stored), note=s.reference.name)
                self.stored.append(case)
                found.append(case)
        return found

    def _given(self, user: list[Case]) -> list[Case]:
        """The user's cases that run; one that does not is an error, unless it is a reference."""
        ran = []
        for case in user:
            try:
                self._run(case)
                ran.append(case)
            except Failed as error:
                if case.kind == "user":
                    raise BadInput(f"the model before does not run on it: {error}", where=case.note) from None
                self.notes.append(f"the model before does not run on the reference's inputs: {error}")
        return ran

    def _run(self, case: Case) -> None:
        assert self.session
        start = time.monotonic()
        case.outputs = self.session.run(case.feeds, seconds=min(self.settings.budget * RUN_SHARE, self._left() / 3))
        case.seconds = time.monotonic() - start

    def _made(self, subject: Subject, session: Stages) -> list[Case]:
        """Probes of our own that the model runs on."""
        self.progress("baseline")
        prober = self.prober = Prober(subject, self.settings.seed, self.shapes)
        cases = prober.guesses()
        failed = self._run_all(cases)
        if failed:
            prober.error = str(failed[0])
        if any(error.timed_out for error in failed):
            return []  # no other batch will make it quicker
        if not cases or failed or any(nan_share(case.outputs) for case in cases):
            self.progress("finding sizes that the model takes")
            seconds = min(MAX_SECONDS, self._left() / 2)
            cases = prober.search(lambda feeds, limit: session.run(feeds, seconds=limit), seconds)
            if self.shapes and not cases:
                raise BadInput(f"the model before does not run on it: {prober.error}", where="--probe")
            self._run_all(cases)
        ran = [case for case in cases if case.outputs]
        if ran:
            ran += prober.loose(lambda feeds, limit: session.run(feeds, seconds=min(limit, self._left() / 3)))
        return ran

    def _run_all(self, cases: list[Case]) -> list[Failed]:
        """Run cases two at a time, the largest first; those that fail are left without outputs."""
        late: list[Failed] = []

        def one(case: Case) -> Failed | None:
            if late:  # the others would not be quicker
                return late[0]
            try:
                self._run(case)
            except Failed as error:
                if error.timed_out:
                    late.append(error)
                return error
            return None

        order = sorted(cases, key=lambda c: -sum(np.size(v) for v in c.feeds.values() if isinstance(v, np.ndarray)))
        return [error for error in self.pace.map(one, order) if error]

    def _gather_evidence(self) -> None:
        """Plant faults: on the quickest probe first, what stays unseen on the others, then on more."""
        assert self.session and self.prober
        until = time.monotonic() + self._left() / 3
        own = sorted((c for c in self.cases if c.kind not in ("user", "reference")), key=lambda c: c.seconds)
        given = [c for c in self.cases if c.kind in ("user", "reference")]
        for case in own + given:
            self._plant(case, until)
        for case in self.prober.more():
            if all(fault.seen for fault in self.faults) or time.monotonic() > until:
                return
            if self._run_all([case]):
                continue
            before = self._count()
            self._plant(case, until)
            if self._count() > before:
                self.cases.append(case)

    def _count(self) -> int:
        return sum(bool(fault.seen) for fault in self.faults)

    def _plant(self, case: Case, until: float) -> None:
        assert self.session and self.subject
        rule = self.rule(exact=False)
        unseen = [fault for fault in self.faults if not fault.seen]
        if unseen:
            plant(
                self.session,
                unseen,
                {**case.outputs, **case.feeds},
                case.outputs,
                lambda name, a, b: distance(a, b, rule),
                self.pace,
                share=self.settings.share,
                seed=self.settings.seed,
                until=until,
            )

    def _report_branches(self) -> None:
        """Say how many Ifs were seen to take only one branch."""
        assert self.subject
        single = 0
        for name in self.subject.conditions:
            taken = {bool(np.ravel(c.outputs[name])[0]) for c in self.cases if np.size(c.outputs.get(name, ()))}
            single += len(taken) == 1
        if single:
            self.notes.append(f"{single} of {len(self.subject.conditions)} If took one branch only")

    def _left(self) -> float:
        return max(self.end - time.monotonic(), 0.1)

    def rule(self, *, exact: bool) -> Rule:
        """What may differ, by the widest rounding in the model before, what passes allow, and the user's wish."""
        if exact:
            return EXACT
        rule, (rtol, atol) = RULES[precision(self.subject)], self.least
        rule = replace(rule, rtol=max(rule.rtol, rtol), atol=max(rule.atol, atol))
        return rule.given(self.settings.rtol, self.settings.atol)

    # ---- the model after --------------------------------------------------------------------

    def compare(
        self,
        path: Path,
        *,
        exact: bool,
        changes: bool,
        locate: bool,
        promise: Promise | None = None,
        least: tuple[float, float] = (0.0, 0.0),
        interface: frozenset[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Verification:
        """Run the model `path` on what the model before ran on, and judge; with a `promise`, its sites too.

        Raises:
            BadInput: `path` is no readable model.
            Mismatch: its inputs or outputs do not pair with those of the model before.
        """
        self.end = max(self.end, time.monotonic() + self.settings.budget / 3)
        self.least = least
        self.progress("comparing")
        self.bound, self.gave = [], {}
        self.pace.hurry.set()
        after = Subject.read(path)
        mode = ("full" if self.settings.whole else "sites") if promise else "model"
        result = Verification(mode=mode if self.subject else "reference")
        if self.subject is None:
            self.stored = [case for case in self._user_cases(after) if case.stored]
        pairs = pair(self.subject or after, after, self.settings.match, interface, names)
        result.notes += pairs.notes
        try:
            # Against stored results one run follows another; against a model before, two go on at once.
            threads = 1 if self.subject else os.cpu_count() or 1
            session = Session(after, extras(after), threads=threads) if self.settings.whole else None
        except Failed as error:
            result.notes.append(f"the runtime does not load the model after: {error}")
            if not self.refused and self.subject:  # it did load the one before
                result.verdict = "different"
                self._planted()
                result.notes[:0] = self.notes
                return result
            session = None
        if session:
            if self.cases:
                self._against_before(result, after, session, pairs, exact, changes, locate)
            if self.stored:
                self._against_stored(result, after, session, pairs, changes)
            elif not self.cases:
                result.notes.append(self.refused or "there is nothing to compare with")
        if promise and pairs.casts:
            other = "the whole model alone was compared" if self.settings.whole else "sites alone can't be verified"
            result.notes.append(f"element types of the interface changed: {other}")
        elif promise and self.subject:
            from surgery.equivalence.sites.verdicts import (  # late: the child is to start soon
                Asked,
                enter,
                verify_sites,
            )

            self.progress("verifying sites")
            cases = [*self.cases, *self.bound]
            feeds = [case.feeds for case in cases]
            known = [(case.outputs, self.gave.get(id(case), {})) for case in cases]
            s = self.settings
            repro = s.repro if locate else None
            asked = Asked(exact, changes, (s.rtol, s.atol), repro, s.seed, self._left())
            enter(verify_sites(self.subject, after, pairs, feeds, promise, asked, known), result, pairs)
        self._planted()
        result.notes[:0] = self.notes
        if time.monotonic() > self.end:
            result.notes.append(f"the budget of {self.settings.budget:g} s is spent")
        return result

    def _against_before(
        self,
        result: Verification,
        after: Subject,
        session: Session,
        pairs: Pairs,
        exact: bool,
        changes: bool,
        locate: bool,
    ) -> None:
        assert self.floors and self.subject and self.prober and self.session
        given = self.settings.rtol is not None or self.settings.atol is not None
        rule = self.rule(exact=exact)

        def explain(case: Case, ours: str, theirs: str, value: object) -> str:
            from surgery.equivalence.amplified import Amplified  # late: seldom needed

            assert self.subject
            return Amplified(self.subject, after, pairs, rule, self._left).explain(case, ours, theirs, value)

        judge = Judge(self.floors, pairs, rule, given, changes, explain)
        cases = list(self.cases)
        made = len(cases)
        if pairs.narrower:
            run = self.session.run
            inputs = [replace(port, name=pairs.inputs[port.name]) for port in after.inputs]
            self.bound = self.prober.bound(inputs, lambda feeds, limit: run(feeds, seconds=limit))
            cases += self.bound

        def fitting(cases: list[Case]) -> list[Case]:
            if pairs.bound:
                cases = [case for case in cases if fits(case.feeds, after, pairs)]
            if pairs.casts or pairs.inner:
                cases = [again for case in cases if (again := self._seen_through(case, pairs))]
            return cases

        def one(case: Case) -> tuple[Case, Values | Failed]:
            try:
                share = max(self.settings.budget * RUN_SHARE, 20 * case.seconds)
                return case, session.run(renamed(case.feeds, pairs), seconds=min(share, self._left()))
            except Failed as error:
                return case, error

        failures = []

        def hear(cases: list[Case]) -> None:
            for case, values in self.pace.map(one, cases):
                if isinstance(values, Failed):
                    failures.append((case, values))
                else:
                    judge.hear(case, values)
                    self.gave[id(case)] = values
                    result.probes.append(case.probe())

        hear(fitting(cases))
        self._planted()
        hear(fitting(self.cases[made:]))  # what planting faults asked for besides
        if not failures:
            failures += self._batches(result, after, session, pairs, judge, fitting(cases))
        result.outputs = list(judge.reports())
        for report in result.outputs:
            if fault := pairs.faults.get(report.name):
                report.verdict, report.note = "different", fault
        result.evidence = self._evidence(pairs)
        self._decide(result, judge, failures, pairs, changes)
        if locate and result.verdict in ("different", "changed") and (guilty := judge.guilty_cases()):
            self.progress("looking for the first tensor that differs")
            result.first_difference = first_difference(
                self.subject, after, guilty[0].feeds, renamed(guilty[0].feeds, pairs), judge.rule, self.end
            )
        elif locate and result.verdict == "different" and failures:
            result.first_difference = where_it_stops(self.subject, after, failures[0][1].node)

    def _batches(
        self, result: Verification, after: Subject, session: Session, pairs: Pairs, judge: Judge, cases: list[Case]
    ) -> list[tuple[Case, Failed]]:
        """Where a batch was fixed and is free, compare batches with single runs; those that failed."""
        assert self.subject and self.session
        rows = Rows(self.subject, after, pairs)
        result.notes += rows.notes
        before = self.session
        run = (
            lambda feeds: before.run(feeds, seconds=self._left()),
            lambda feeds: session.run(feeds, seconds=self._left()),
        )
        try:
            for probe, parts in rows.batches(cases, *run):
                result.probes.append(probe)
                for case, values in parts:
                    judge.hear(case, values)
        except Failed as error:
            return [(replace(cases[0], note="several of them as one batch"), error)]
        if pairs.bound and cases:  # dims were freed on purpose
            try:
                rows.resized(cases[0], run[1])
            except Failed as error:
                return [(replace(cases[0], note="at any other size"), error)]
        return []

    def _seen_through(self, case: Case, pairs: Pairs) -> Case | None:
        """The case as the model after is fed it, and with the tensors that are outputs only there."""
        assert self.subject and self.session
        feeds = narrowed(case.feeds, pairs)
        try:
            session = Session(self.subject, pairs.inner) if pairs.inner else self.session
            return replace(case, feeds=feeds, outputs=session.run(feeds, seconds=self._left()))
        except Failed:  # the model before does not take what is left of the values: no evidence
            return None

    def _decide(
        self, result: Verification, judge: Judge, failures: list[tuple[Case, Failed]], pairs: Pairs, changes: bool
    ) -> None:
        """Set the verdict, and say what it rests on."""
        moved = [report for report in result.outputs if report.verdict == "different"]
        broken = any(r.gap.structural for rulings in judge.rulings.values() for r in rulings) or bool(pairs.faults)
        result.notes += [f"{name!r} {fault}" for name, fault in pairs.faults.items()]
        late = any(error.timed_out for _, error in failures)
        refused = [error for _, error in failures if not error.timed_out]
        if pairs.bound and pairs.narrower and result.probes:  # it was to take less
            refused = []
            result.notes.append("compared at the dims that the model after fixes")
        for case, error in failures[:3] if refused or late else []:
            where = f"{case} ({case.note})" if case.note else str(case)
            result.notes.append(f"the model after does not run on {where}: {error}")
        if refused and self.bound and all(case is not self.bound[0] for case, _ in failures):
            result.notes.append(
                f"the model after fixes dims: --probe compares at sizes that both take, {self.bound[0]}"
            )
        if broken or refused or (moved and not changes):
            result.verdict = "different"
        elif late or not result.probes:
            result.verdict = "unverified"
        elif moved:
            result.verdict = "changed"
            for report in moved:
                report.verdict = "changed"
        else:
            result.verdict = "equal"
        _note_weak(result)

    def _evidence(self, pairs: Pairs) -> Evidence:
        """The faults that were seen in what the two models have in common."""
        tapped = {a.output for a, _ in pairs.taps}
        assert self.subject
        logits = bool(tapped) and tapped == {tap.output for tap in self.subject.taps}
        behind = sum(fault.seen == "logits" for fault in self.faults)
        seen = sum(fault.seen == "output" for fault in self.faults) + (behind if logits else 0)
        note = f"{behind} in logits only" if logits and behind else ""
        return Evidence(len(self.faults), seen, note)

    # ---- the reference ----------------------------------------------------------------------

    def _against_stored(
        self, result: Verification, after: Subject, session: Session, pairs: Pairs, changes: bool
    ) -> None:
        """Hold the model after against stored results; where they say other than the baseline, they decide."""
        rule = REFERENCE.given(self.settings.rtol, self.settings.atol)
        stored = [case for case in self.stored if not pairs.bound or fits(case.feeds, after, pairs)]
        if left_out := len(self.stored) - len(stored):
            result.notes.append(f"{left_out} of {len(self.stored)} cases of the reference are of other sizes")
        if not stored:
            return
        try:
            holding = hold(stored, session, pairs, rule, self._left())
        except Failed as error:
            result.notes.append(f"the model after does not run on the reference's inputs: {error}")
            result.verdict = "unverified" if error.timed_out else "different"
            return
        for name, gap in holding.worst.items():
            words = "agrees with the reference" if gap.ok else f"disagrees with the reference ({gap.why})"
            result.notes.append(f"{name!r} {words}, max |d| {gap.max_abs:.3g}")
        if not holding.before_agrees:
            result.notes.append("the model before itself disagrees with the reference, which decides")
        if not self.cases:
            self.progress("planting faults")
            result.probes = [case.probe() for case in stored]
            result.outputs = [_as_report(name, gap) for name, gap in holding.worst.items()]
            share, seed, until = self.settings.share, self.settings.seed, time.monotonic() + self._left() / 2
            result.evidence = evidence(stored, session, pairs, rule, self.pace, share, seed, until)
            _note_weak(result)
        if not holding.ok:
            result.verdict = "different"
        elif not self.cases or not holding.before_agrees:
            result.verdict = "changed" if changes else "equal"
        elif changes and result.verdict != "different":
            result.verdict = "changed"


def _note_weak(result: Verification) -> None:
    if result.evidence.weak:
        result.notes.append("weak evidence: the probes would not notice many faults")
    elif not result.evidence.planted and result.verdict in ("equal", "changed"):
        result.notes.append("weak evidence: there are no weights to plant faults in, which would tell what is noticed")


def _as_report(name: str, gap: Distance) -> OutputReport:
    verdict = "equal" if gap.ok else "different"
    return OutputReport(name, gap.max_abs, gap.max_rel, gap.cosine, gap.outside, verdict, gap.why)  # type: ignore[arg-type]
