"""A model after, run whole: held against the baseline, and against stored results."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from surgery.equivalence.baseline import RUN_SHARE, Baseline
from surgery.equivalence.compare import REFERENCE, Distance
from surgery.equivalence.judge import Judge
from surgery.equivalence.locate import first_difference, where_it_stops
from surgery.equivalence.pairing import Pairs, fits, narrowed, renamed
from surgery.equivalence.probes import Case
from surgery.equivalence.promise import Promise
from surgery.equivalence.reference import evidence, hold
from surgery.equivalence.rows import Rows
from surgery.equivalence.session import Failed, Session, Values
from surgery.equivalence.subject import Subject
from surgery.report import Evidence, OutputReport, Verification


@dataclass
class Comparison:
    """What comes of one model after; entered into `result`.

    Args:
        before: the baseline.
        after: the model.
        session: runs it; None where the runtime does not, or is not to.
        pairs: what belongs to what in the two.
        result: what is known of the model so far; changed in place.
        exact: every bit is to be the same.
        changes: results may differ.
        locate: the first difference is looked for, and named.
    """

    before: Baseline
    after: Subject
    session: Session | None
    pairs: Pairs
    result: Verification
    exact: bool
    changes: bool
    locate: bool
    bound: list[Case] = field(default_factory=list)  # probes at the dims that the model fixes
    gave: dict[int, Values] = field(default_factory=dict)  # by the id of a case: what the model gave for it
    failures: list[tuple[Case, Failed]] = field(default_factory=list)

    def against_before(self) -> None:
        """Run the model on what the model before ran on, and judge."""
        before, pairs, result = self.before, self.pairs, self.result
        assert before.subject
        judge = self._judge()
        cases = list(before.cases)
        made = len(cases)
        if pairs.narrower:
            self._bind()
        self._hear(judge, [*cases, *self.bound])
        before.planted()
        self._hear(judge, before.cases[made:])  # what planting faults asked for besides
        if not self.failures:
            self._batches(judge, self._fitting([*cases, *self.bound]))
        result.outputs = list(judge.reports())
        for report in result.outputs:
            if fault := pairs.faults.get(report.name):
                report.verdict, report.note = "different", fault
        result.evidence = self._evidence()
        self._decide(judge)
        if not self.locate:
            return
        if result.verdict in ("different", "changed") and (guilty := judge.guilty_cases()):
            before.progress("looking for the first tensor that differs")
            feeds = guilty[0].feeds
            result.first_difference = first_difference(
                before.subject, self.after, feeds, renamed(feeds, pairs), judge.rule, before.end
            )
        elif result.verdict == "different" and self.failures:
            result.first_difference = where_it_stops(before.subject, self.after, self.failures[0][1].node)

    def _judge(self) -> Judge:
        before = self.before
        assert before.floors
        rule = before.rule(exact=self.exact)

        def explain(case: Case, ours: str, theirs: str, value: object) -> str:
            from surgery.equivalence.amplified import Amplified  # late: seldom needed

            assert before.subject
            amplified = Amplified(before.subject, self.after, self.pairs, rule, before.left)
            return amplified.explain(case, ours, theirs, value)

        given = before.settings.rtol is not None or before.settings.atol is not None
        return Judge(before.floors, self.pairs, rule, given, self.changes, explain)

    def _bind(self) -> None:
        """Make probes at the dims that the model fixes, which the model before has free."""
        assert self.before.prober and self.before.session
        run = self.before.session.run
        inputs = [replace(port, name=self.pairs.inputs[port.name]) for port in self.after.inputs]
        self.bound = self.before.prober.bound(inputs, lambda feeds, limit: run(feeds, seconds=limit))

    def _fitting(self, cases: list[Case]) -> list[Case]:
        """The cases that the model takes, as it takes them."""
        pairs = self.pairs
        if pairs.bound:
            cases = [case for case in cases if fits(case.feeds, self.after, pairs)]
        if pairs.casts or pairs.inner:
            cases = [again for case in cases if (again := self._seen_through(case))]
        return cases

    def _seen_through(self, case: Case) -> Case | None:
        """The case as the model is fed it, and with the tensors that are outputs only there."""
        before = self.before
        assert before.subject and before.session
        feeds = narrowed(case.feeds, self.pairs)
        try:
            session = Session(before.subject, self.pairs.inner) if self.pairs.inner else before.session
            return replace(case, feeds=feeds, outputs=session.run(feeds, seconds=before.left()))
        except Failed:  # the model before does not take what is left of the values: no evidence
            return None

    def _hear(self, judge: Judge, cases: list[Case]) -> None:
        for case, values in self.before.pace.map(self._run, self._fitting(cases)):
            if isinstance(values, Failed):
                self.failures.append((case, values))
            else:
                judge.hear(case, values)
                self.gave[id(case)] = values
                self.result.probes.append(case.probe())

    def _run(self, case: Case) -> tuple[Case, Values | Failed]:
        try:
            share = max(self.before.settings.budget * RUN_SHARE, 20 * case.seconds)
            seconds = min(share, self.before.left())
            assert self.session
            return case, self.session.run(renamed(case.feeds, self.pairs), seconds=seconds)
        except Failed as error:
            return case, error

    def _batches(self, judge: Judge, cases: list[Case]) -> None:
        """Where a batch was fixed and is free, compare batches with single runs."""
        before = self.before
        assert before.subject and before.session and self.session
        rows = Rows(before.subject, self.after, self.pairs)
        self.result.notes += rows.notes
        ours, theirs = before.session, self.session
        run = (
            lambda feeds: ours.run(feeds, seconds=before.left()),
            lambda feeds: theirs.run(feeds, seconds=before.left()),
        )
        try:
            for probe, parts in rows.batches(cases, *run):
                self.result.probes.append(probe)
                for case, values in parts:
                    judge.hear(case, values)
        except Failed as error:
            self.failures.append((replace(cases[0], note="several of them as one batch"), error))
            return
        if self.pairs.bound and cases:  # dims were freed on purpose
            try:
                rows.resized(cases[0], run[1])
            except Failed as error:
                self.failures.append((replace(cases[0], note="at any other size"), error))

    def _decide(self, judge: Judge) -> None:
        """Set the verdict, and say what it rests on."""
        result, pairs = self.result, self.pairs
        moved = [report for report in result.outputs if report.verdict == "different"]
        broken = any(r.gap.structural for rulings in judge.rulings.values() for r in rulings) or bool(pairs.faults)
        result.notes += [f"{name!r} {fault}" for name, fault in pairs.faults.items()]
        late = any(error.timed_out for _, error in self.failures)
        refused = any(not error.timed_out for _, error in self.failures)
        if pairs.bound and pairs.narrower and result.probes:  # it was to take less
            refused = False
            result.notes.append("compared at the dims that the model after fixes")
        if refused or late:
            self._note_failures(refused)
        if broken or refused or (moved and not self.changes):
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

    def _note_failures(self, refused: bool) -> None:
        for case, error in self.failures[:3]:
            where = f"{case} ({case.note})" if case.note else str(case)
            self.result.notes.append(f"the model after does not run on {where}: {error}")
        if refused and self.bound and all(case is not self.bound[0] for case, _ in self.failures):
            self.result.notes.append(
                f"the model after fixes dims: --probe compares at sizes that both take, {self.bound[0]}"
            )

    def _evidence(self) -> Evidence:
        """The faults that were seen in what the two models have in common."""
        tapped = {a.output for a, _ in self.pairs.taps}
        subject, faults = self.before.subject, self.before.faults
        assert subject
        logits = bool(tapped) and tapped == {tap.output for tap in subject.taps}
        behind = sum(fault.seen == "logits" for fault in faults)
        seen = sum(fault.seen == "output" for fault in faults) + (behind if logits else 0)
        note = f"{behind} in logits only" if logits and behind else ""
        return Evidence(len(faults), seen, note)

    def against_stored(self) -> None:
        """Hold the model against stored results; where they say other than the baseline, they decide."""
        before, pairs, result = self.before, self.pairs, self.result
        settings = before.settings
        assert self.session
        rule = REFERENCE.given(settings.rtol, settings.atol)
        stored = [case for case in before.stored if not pairs.bound or fits(case.feeds, self.after, pairs)]
        if left_out := len(before.stored) - len(stored):
            result.notes.append(f"{left_out} of {len(before.stored)} cases of the reference are of other sizes")
        if not stored:
            return
        try:
            holding = hold(stored, self.session, pairs, rule, before.left())
        except Failed as error:
            result.notes.append(f"the model after does not run on the reference's inputs: {error}")
            result.verdict = "unverified" if error.timed_out else "different"
            return
        for name, gap in holding.worst.items():
            words = "agrees with the reference" if gap.ok else f"disagrees with the reference ({gap.why})"
            result.notes.append(f"{name!r} {words}, max |d| {gap.max_abs:.3g}")
        if not holding.before_agrees:
            result.notes.append("the model before itself disagrees with the reference, which decides")
        if not before.cases:
            before.progress("planting faults")
            result.probes = [case.probe() for case in stored]
            result.outputs = [_as_report(name, gap) for name, gap in holding.worst.items()]
            until = time.monotonic() + before.left() / 2
            result.evidence = evidence(
                stored, self.session, pairs, rule, before.pace, settings.share, settings.seed, until
            )
            _note_weak(result)
        if not holding.ok:
            result.verdict = "different"
        elif not before.cases or not holding.before_agrees:
            result.verdict = "changed" if self.changes else "equal"
        elif self.changes and result.verdict != "different":
            result.verdict = "changed"

    def sites(self, promise: Promise) -> None:
        """Verify the sites between the two models, and let them count."""
        from surgery.equivalence.sites.verdicts import enter  # late: the child is to start soon
        from surgery.equivalence.sites.verifier import Asked, SiteVerifier

        before, s = self.before, self.before.settings
        assert before.subject
        before.progress("verifying sites")
        cases = [*before.cases, *self.bound]
        feeds = [case.feeds for case in cases]
        known = [(case.outputs, self.gave.get(id(case), {})) for case in cases]
        repro = s.repro if self.locate else None
        asked = Asked(self.exact, self.changes, (s.rtol, s.atol), repro, s.seed, before.left())
        verifier = SiteVerifier(before.subject, self.after, self.pairs, feeds, promise, asked, known)
        enter(verifier.run(), self.result, self.pairs)


def _note_weak(result: Verification) -> None:
    if result.evidence.weak:
        result.notes.append("weak evidence: the probes would not notice many faults")
    elif not result.evidence.planted and result.verdict in ("equal", "changed"):
        result.notes.append("weak evidence: there are no weights to plant faults in, which would tell what is noticed")


def _as_report(name: str, gap: Distance) -> OutputReport:
    verdict = "equal" if gap.ok else "different"
    return OutputReport(name, gap.max_abs, gap.max_rel, gap.cosine, gap.outside, verdict, gap.why)  # type: ignore[arg-type]
