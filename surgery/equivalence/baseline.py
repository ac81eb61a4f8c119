"""The model before: probes that it runs on, what it gives for them, and which faults they would notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from surgery.equivalence.compare import EXACT, RULES, Rule, distance, precision
from surgery.equivalence.evidence import SHARE, Fault, plant
from surgery.equivalence.judge import Floors
from surgery.equivalence.pace import Pace
from surgery.equivalence.probes import Case, Prober, nan_share
from surgery.equivalence.session import Failed, extras
from surgery.equivalence.sizes import MAX_SECONDS
from surgery.equivalence.stages import Stages
from surgery.equivalence.subject import Subject
from surgery.equivalence.userdata import check_probe, parse_probe, read_cases
from surgery.errors import BadInput

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


class Baseline:
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
        self.stored: list[Case] = []  # of the reference
        self.faults: list[Fault] = []
        self._beside = ThreadPoolExecutor(1)
        self._planting: Future[None] | None = None
        self.floors: Floors | None = None
        self.refused = ""  # why the model before gives no results
        self.notes: list[str] = []
        self.least = (0.0, 0.0)  # rtol and atol that the passes' contracts allow

    def find(self) -> None:
        """Load the model before, find probes, run them, and plant faults.

        Raises:
            BadInput: the model can't be read, or the user's data does not fit it.
        """
        if self.settings.before is None:
            return
        self.subject = Subject.read(self.settings.before)
        user = self.user_cases(self.subject)
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

    def planted(self) -> None:
        """Wait until all faults are planted."""
        if self._planting:
            self._planting.result()

    def user_cases(self, subject: Subject) -> list[Case]:
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
        case.outputs = self.session.run(case.feeds, seconds=min(self.settings.budget * RUN_SHARE, self.left() / 3))
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
            seconds = min(MAX_SECONDS, self.left() / 2)
            cases = prober.search(lambda feeds, limit: session.run(feeds, seconds=limit), seconds)
            if self.shapes and not cases:
                raise BadInput(f"the model before does not run on it: {prober.error}", where="--probe")
            self._run_all(cases)
        ran = [case for case in cases if case.outputs]
        if ran:
            ran += prober.loose(lambda feeds, limit: session.run(feeds, seconds=min(limit, self.left() / 3)))
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
        until = time.monotonic() + self.left() / 3
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

    def left(self) -> float:
        """The seconds that are left of the budget."""
        return max(self.end - time.monotonic(), 0.1)

    def rule(self, *, exact: bool) -> Rule:
        """What may differ, by the widest rounding in the model before, what passes allow, and the user's wish."""
        if exact:
            return EXACT
        rule, (rtol, atol) = RULES[precision(self.subject)], self.least
        rule = replace(rule, rtol=max(rule.rtol, rtol), atol=max(rule.atol, atol))
        return rule.given(self.settings.rtol, self.settings.atol)
