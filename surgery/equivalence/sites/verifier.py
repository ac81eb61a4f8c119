"""Verify every cut where it was made.

What congruence leaves are claims, each a pair of small models over the same inputs. All are run
on the values of real runs, one of each kind on hostile ones too. A claim that fails on hostile
values alone may only say that such values never come there: its cut is widened, up to twice,
and judged again. What then holds is "not reached"; what fails with the model's own inputs as
inputs of the cut is proved wrong. Of strange values (NaN, 1e30) it may be asked besides that strange
inputs of the models bring them about; see `reach`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from surgery.equivalence.pairing import Pairs, fits
from surgery.equivalence.ports import Port
from surgery.equivalence.promise import Promise
from surgery.equivalence.session import Failed, Values
from surgery.equivalence.sites import repro
from surgery.equivalence.sites.arbiter import Arbiter, Gap, Tolerance, compare
from surgery.equivalence.sites.blame import culprit
from surgery.equivalence.sites.claims import settle
from surgery.equivalence.sites.congruence import Congruence, draws
from surgery.equivalence.sites.cuts import Cut, Half, guards, port_of
from surgery.equivalence.sites.hostile import LOOSE, UNSIGNED, Attack, count
from surgery.equivalence.sites.inferred import Inferred, guesses
from surgery.equivalence.sites.reach import BEYOND, Reach
from surgery.equivalence.sites.recorder import Feeds, Recorder, Source, deadline
from surgery.equivalence.sites.trial import Trial
from surgery.equivalence.subject import Subject
from surgery.protos import read_weight
from surgery.report import Finding, Outcome, SiteKind, Sites, Verdict

RUNS = 3  # of the whole model, at sizes that differ in every axis that is free
WIDENINGS = 2
DRAWN = 40  # kinds that the report holds the nodes of


@dataclass
class SiteReport:
    """What came of the claims."""

    sites: Sites = field(default_factory=Sites)
    notes: list[str] = field(default_factory=list)
    elements: int = 0  # fed to the halves


@dataclass
class Suspect:
    """Where a claim failed."""

    family: str
    feeds: Feeds
    gap: Gap


@dataclass(frozen=True)
class Asked:
    """How a comparison was asked for.

    Args:
        exact: values and sign bits are to be the same.
        changes: results may move; shapes and dtypes must hold.
        given: the user's rtol and atol.
        repro: the folder for reproductions of what fails, if any are wanted.
        seed: of all chance.
        seconds: that are left for it.
    """

    exact: bool = False
    changes: bool = False
    given: tuple[float | None, float | None] = (None, None)
    repro: Path | None = None
    seed: int = 0
    seconds: float = 120.0

    def tolerance(self, promise: Promise) -> Tolerance:
        """What may differ where that is promised."""
        rtol, atol = self.given
        if self.exact or (rtol is None and atol is None):
            return Tolerance(promise.rtol, promise.atol, self.exact)
        # The user's numbers are for the values that the model has.
        return Tolerance(max(rtol or 0.0, promise.rtol), max(atol or 0.0, promise.atol), grows=True)


class SiteVerifier:
    """Verifies the cuts between two models.

    Args:
        before: the model before.
        after: the model after.
        pairs: their inputs and outputs.
        feeds: inputs that the model before was seen to run on; every free axis should vary over them. None if
            it does not run: then values inside are drawn, on inferred shapes, and names that lie are not found out.
        promise: what is promised there.
        asked: what else is to be kept to.
        known: what the models before and after gave for each of `feeds`, as far as it is known.
    """

    def __init__(
        self,
        before: Subject,
        after: Subject,
        pairs: Pairs,
        feeds: Sequence[Feeds],
        promise: Promise,
        asked: Asked,
        known: Sequence[tuple[Values, Values]] = (),
    ) -> None:
        runs = bool(feeds)
        feeds = feeds or guesses(before, asked.seed)
        self.tolerance, self.changes = asked.tolerance(promise), asked.changes
        self.each, self.domain = promise.each, dict(promise.domain)
        self.seed, self.repro = asked.seed, asked.repro
        self.budget = min(promise.budget, asked.seconds)
        self.left = deadline(self.budget)
        self.pool = ThreadPoolExecutor(2)
        self.pairs = pairs
        self.report = SiteReport()
        self.evidence: Counter[str] = Counter()
        self._spared = 0  # structures for which no time was left
        self.match = Congruence(before, after, pairs, copied=tuple(promise.copied))
        self.shared: set[int] = set()
        self.sizes = not pairs.narrower  # else the model after takes no others
        chosen = _varied([fed for fed in feeds if self.sizes or fits(fed, after, pairs)])
        self._known = {id(fed): values for fed, values in zip(feeds, known, strict=False)}
        self.source: Source = (
            Recorder(before, chosen, self.left, self._gave(chosen, 0)) if runs else Inferred(before, chosen, self.seed)
        )
        self._chosen = chosen if runs else []

    def run(self) -> SiteReport:
        """Verify all claims."""
        start = time.monotonic()
        if self._chosen and (self.match.claims or self.match.fresh):
            self._settle()
        self.shared = self.match.shared
        cuts = [Cut.of(self.match, claim, self.shared) for claim in self.match.claims]
        kinds = self._kinds(cuts)
        findings = self._judge(kinds)
        order = {claim: i for i, claim in enumerate(self.match.claims)}
        ordered = sorted(findings, key=lambda pair: order[pair[0].claim])
        shown = [finding for _, finding in ordered if finding.outcome != "equal"]
        failed = {id(cut) for cut, finding in findings if finding.outcome not in ("equal", "not reached")}
        held = sum(failed.isdisjoint(map(id, cuts)) for cuts in kinds)
        verdict = self._sum_up(Counter(finding.outcome for _, finding in ordered))
        seconds = time.monotonic() - start
        self.report.sites = Sites(len(cuts), len(kinds), held, verdict, dict(self.evidence), shown, seconds)
        self.report.sites.kinds = [self._drawn(cuts, failed) for cuts in kinds[:DRAWN]]
        return self.report

    def _settle(self) -> None:
        via = self.pairs.inputs
        two = self._chosen[:2]
        theirs = [{b: feeds[a] for b, a in via.items()} for feeds in two]
        before = Recorder(self.match.before, two, self.left, self._gave(two, 0))
        settle(self.match, before, Recorder(self.match.after, theirs, self.left, self._gave(two, 1)))

    def _gave(self, feeds: Sequence[Feeds], side: int) -> list[Values]:
        return [self._known.get(id(fed), ({}, {}))[side] for fed in feeds]

    def _sum_up(self, outcomes: Mapping[Outcome, int]) -> Verdict:
        verdict: Verdict = "changed" if self.changes else "equal"
        if outcomes.get("unverified"):
            verdict = "unverified"
        if outcomes.get("different"):
            verdict = "different"
        if outcomes.get("not reached"):
            some = outcomes["not reached"]
            few = "1 claim holds" if some == 1 else f"{some} claims hold"
            self.report.notes.append(f"{few} only on values that the model was seen to reach")
        if outcomes.get("random"):
            some = outcomes["random"]
            few = "1 claim rests" if some == 1 else f"{some} claims rest"
            self.report.notes.append(f"{few} on random operators, and can't be verified")
        if self.left() <= 0:
            rest = f": {self._spared} structures saw no hostile values" if self._spared else ""
            self.report.notes.append(f"the budget of {self.budget:g} s for sites is spent{rest}")
        return verdict

    def _drawn(self, cuts: list[Cut], failed: set[int]) -> SiteKind:
        bad = [cut for cut in cuts if id(cut) in failed]
        verdict: Verdict = self.report.sites.verdict if bad else "changed" if self.changes else "equal"
        return SiteKind(str((bad or cuts)[0].claim), len(cuts), verdict, *(bad or cuts)[0].steps())

    # ---- from cuts to kinds -----------------------------------------------------------------

    def _kinds(self, cuts: list[Cut]) -> list[list[Cut]]:
        """The cuts, those of one structure together."""
        cuts = [self._feedable(cut) for cut in self._capture(cuts)]
        kinds: dict[Hashable, list[Cut]] = {}
        for cut in cuts:
            kinds.setdefault(cut.kind(self._ports(cut)), []).append(cut)
        return list(kinds.values())

    def _capture(self, cuts: list[Cut]) -> list[Cut]:
        """Have the inputs of all cuts recorded in one go."""
        self.source.values(name for cut in cuts for name in cut.inputs.values())
        return cuts

    def _feedable(self, cut: Cut) -> Cut:
        """The cut with those inputs opened that can't be fed: of types that numpy lacks, for one."""
        for _ in range(8):
            ports = self._ports(cut)
            lacking = [number for number in cut.inputs if number not in ports]
            wider = cut.widened(self.shared, lacking) if lacking else None
            if wider is None:
                break
            cut = self._capture([wider])[0]
        return cut

    def _captures(self, cut: Cut) -> list[dict[str, Any]]:
        """The inputs of a cut in each run, by their names in it."""
        runs = self.source.values(cut.inputs.values())
        feeds = [{f"x{i}": run.get(name) for i, name in enumerate(cut.inputs.values())} for run in runs]
        return [f for f in feeds if all(value is not None for value in f.values())]

    def _ports(self, cut: Cut) -> dict[int, Port]:
        runs = self.source.values(cut.inputs.values())
        ports = {}
        for number, name in cut.inputs.items():
            values = [run[name] for run in runs if run.get(name) is not None]
            if values and (port := port_of(values)):
                ports[number] = port
        return ports

    # ---- judging ----------------------------------------------------------------------------

    def _judge(self, kinds: list[list[Cut]]) -> list[tuple[Cut, Finding]]:
        """One finding a claim."""
        jobs = [(cut, cut is cuts[0]) for cuts in kinds for cut in cuts]
        results = dict(zip((id(cut) for cut, _ in jobs), self.pool.map(lambda job: self._try(*job), jobs), strict=True))
        findings = []
        for cuts in kinds:
            leader = results[id(cuts[0])]
            for cut in cuts:
                result = results[id(cut)]
                if result is None and isinstance(leader, Suspect) and leader.family != "real":
                    result = leader  # what fails on hostile values fails for the whole kind, if it comes there
                if result is None:
                    result = Finding(str(cut.claim), "equal", "")
                findings.append((cut, result if isinstance(result, Finding) else self._believe(cut, result)))
        return findings

    def _believe(self, cut: Cut, suspect: Suspect) -> Finding:
        """Widen a cut that fails on values that no run gave, and judge what is left."""
        narrow, shown = cut, suspect
        for widened in range(WIDENINGS + 1):
            if suspect.family == "real" or cut.whole:
                if suspect.family == "real" and (other := culprit(cut, self._holds)):
                    again = self._try(other, hostile=False)
                    if isinstance(again, Suspect):
                        return self._found(other, again, "different", proved=True)
                return self._found(narrow, shown, "different", proved=True, widened=widened)
            wider = cut.widened(self.shared) if widened < WIDENINGS and self.left() > 0 else None
            if wider is None:
                break
            cut = self._feedable(self._capture([wider])[0])
            again = self._try(cut, hostile=True)
            if again is None:
                return self._found(narrow, shown, "not reached", widened=widened + 1)
            if isinstance(again, Finding):
                break
            suspect = again
        if not self.each and self._chosen and shown.family in BEYOND:
            if gap := self._reach.show(cut.claim, self.tolerance):
                return self._found(narrow, Suspect(shown.family, shown.feeds, gap), "different", proved=True)
            return self._found(narrow, shown, "not reached", widened=widened)
        return self._found(narrow, shown, "different", widened=widened)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self.match, self._chosen, self.seed, self.left)

    def _holds(self, cut: Cut) -> bool:
        return self._try(self._feedable(self._capture([cut])[0]), hostile=False) is None

    def _found(
        self, cut: Cut, suspect: Suspect, outcome: Outcome, *, proved: bool = False, widened: int = 0
    ) -> Finding:
        side_a, side_b = self.match.a, self.match.b
        finding = Finding(
            str(cut.claim),
            outcome,
            suspect.gap.why,
            side_a.makes(cut.claim.before),
            side_b.makes(cut.claim.after),
            suspect.family,
            suspect.gap.max_abs,
            {name: list(np.shape(value)) for name, value in suspect.feeds.items()},
            proved,
            widened,
            (len(cut.before.nodes), len(cut.after.nodes)),
        )
        if self.repro is not None and outcome == "different":
            halves = cut.halves(self._ports(cut))
            finding.repro = str(repro.write(self.repro, finding, *halves, suspect.feeds))
        return finding

    def _try(self, cut: Cut, hostile: bool) -> Suspect | Finding | None:
        """Run a cut on all its values: where it fails, or that it can't be judged; None if it holds."""
        tensor = str(cut.claim)
        if draws(cut.before.nodes) or draws(cut.after.nodes):
            return Finding(tensor, "random", "it rests on random operators")
        captures, ports = self._captures(cut), self._ports(cut)
        if len(ports) < len(cut.inputs) or (cut.inputs and not captures):
            return Finding(tensor, "unverified", "nothing tells the values or shapes of its inputs")
        try:
            halves = cut.halves(ports)
            trial = Trial(*halves, guards(cut, halves[0], self.domain), self.left)
        except Failed as error:
            return Finding(tensor, "unverified", f"the runtime does not take the cut: {error}")
        judge = _Judge(trial, self.tolerance, self.changes)
        judged: Counter[str] = Counter()
        try:
            for family, feeds in self._values(captures, trial, hostile):
                self.report.elements += count(feeds)
                gap = judge(family, feeds)
                if gap is None:
                    continue
                judged[family] += 1
                if gap.why:
                    return Suspect(family, feeds, gap)
        except Failed as error:
            return Finding(tensor, "unverified", str(error))
        if not judged:
            return Finding(tensor, "unverified", "the model before rejects every value")
        if hostile:
            self.evidence.update(judged.keys())
        return None

    def _values(self, captures: list[dict[str, Any]], trial: Trial, hostile: bool) -> Iterator[tuple[str, Feeds]]:
        for feeds in captures or [{}]:
            yield "real" if self.source.real else "drawn", feeds
        if hostile and captures and captures[0] and self.left() <= 0:
            self._spared += 1
        elif hostile and captures and captures[0]:
            inside = {name: limits for name, limits in trial.guards.items() if name.startswith("x")}
            attack = Attack(captures, trial.operators, _bounds(trial), inside, self.seed, self.tolerance.exact)
            yield from attack.hostile()
            if self.sizes:
                yield from attack.resized()


class _Judge:
    """Judges the halves of one cut on values."""

    def __init__(self, trial: Trial, tolerance: Tolerance, changes: bool) -> None:
        self._trial = trial
        self._tolerance = tolerance
        self._changes = changes
        self._signs = UNSIGNED.isdisjoint(trial.operators)
        self._arbiter: Arbiter | None = None
        self._scale = 0.0

    def __call__(self, family: str, feeds: Feeds) -> Gap | None:
        """How far the halves are apart; None where the half before gives nothing to compare with."""
        result = self._trial.run(feeds)
        if result.old_refused:
            return None
        if result.new_refused:
            return Gap(why=f"the model after does not run: {result.new_refused}")
        old, new = result.old, result.new
        gap = compare(old, new, self._tolerance, places=family not in LOOSE, signs=self._signs)
        if self._changes:
            return (
                gap if np.shape(old) != np.shape(new) or getattr(old, "dtype", 0) != getattr(new, "dtype", 0) else Gap()
            )
        self._scale = self._scale or gap.scale  # real values come first
        if gap.rounding and self._tolerance.grows and gap.max_abs * self._scale <= self._tolerance.atol * gap.scale:
            return Gap(gap.max_abs, gap.scale)
        if gap.rounding and isinstance(old, np.ndarray):
            self._arbiter = self._arbiter or Arbiter(self._trial.before)
            if self._arbiter.accepts(feeds, old, new):
                return Gap(gap.max_abs, gap.scale)
        return gap


def _varied(feeds: Sequence[Feeds]) -> list[Feeds]:
    """At most `RUNS` of the sets of inputs, the smallest first, those of shapes not seen yet preferred."""
    ordered = sorted(feeds, key=count)
    seen: set[object] = set()
    first: list[Feeds] = []
    rest: list[Feeds] = []
    for fed in ordered:
        shape = tuple((name, np.shape(value)) for name, value in sorted(fed.items()) if not isinstance(value, list))
        (rest if shape in seen else first).append(fed)
        seen.add(shape)
    return [*first, *rest][:RUNS]


def _bounds(trial: Trial) -> list[float]:
    """The small float constants of both halves, sixteen at most: where a Clip or a Where may switch."""
    found: dict[float, None] = {}
    for half in (trial.before, trial.after):
        for value in _small(half):
            found.update((float(v), None) for v in value.reshape(-1) if np.isfinite(v) and abs(v) < 1e9)
    return list(found)[:16]


def _small(half: Half) -> Iterable[np.ndarray]:
    for tensor in half.proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims, dtype=np.int64)) <= 4:
            yield read_weight(tensor, half.folder)
