"""Join what the sites say with what the whole model says, into one verdict.

Either of the two can refute; a claim that fails names the place. What the runtime can't run whole
may still be proven by its sites. Sites that could not be judged take nothing from a model whose
outputs were seen to be equal, but it is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from surgery.equivalence.pairing import Pairs
from surgery.equivalence.promise import Promise
from surgery.equivalence.session import Values
from surgery.equivalence.sites.arbiter import Tolerance
from surgery.equivalence.sites.inferred import guesses
from surgery.equivalence.sites.recorder import Feeds
from surgery.equivalence.sites.verifier import SiteReport, SiteVerifier
from surgery.equivalence.subject import Subject
from surgery.report import Difference, Finding, Verification

_SHOWN = 3  # findings that are told in words


class Asked(NamedTuple):
    """How a comparison was asked for; see `Examiner.compare`."""

    exact: bool = False
    changes: bool = False
    given: tuple[float | None, float | None] = (None, None)  # the user's rtol and atol
    repro: Path | None = None
    seed: int = 0
    seconds: float = 120.0


def verify_sites(
    before: Subject,
    after: Subject,
    pairs: Pairs,
    feeds: Sequence[Feeds],
    promise: Promise,
    asked: Asked,
    known: Sequence[tuple[Values, Values]] = (),
) -> SiteReport:
    """Verify the sites between two models; see `verifier`.

    Args:
        before: the model before.
        after: the model after.
        pairs: their inputs and outputs.
        feeds: inputs that the model before was seen to run on; none if it does not run.
        promise: what is promised there.
        asked: what else is to be kept to.
        known: what both gave for each of `feeds`, as far as it is known.
    """
    return SiteVerifier(
        before,
        after,
        pairs,
        feeds or guesses(before, asked.seed),
        runs=bool(feeds),
        tolerance=_tolerance(promise, asked),
        changes=asked.changes,
        domain=promise.domain,
        seed=asked.seed,
        budget=min(promise.budget, asked.seconds),
        each=promise.each,
        repro=asked.repro,
        copied=promise.copied,
        known=known,
    ).run()


def _tolerance(promise: Promise, asked: Asked) -> Tolerance:
    rtol, atol = asked.given
    if asked.exact or (rtol is None and atol is None):
        return Tolerance(promise.rtol, promise.atol, asked.exact)
    # The user's numbers are for the values that the model has.
    return Tolerance(max(rtol or 0.0, promise.rtol), max(atol or 0.0, promise.atol), grows=True)


def enter(sites: SiteReport, result: Verification, pairs: Pairs) -> None:
    """Enter the sites into a verification; its verdict takes them into account.

    Args:
        sites: what came of the sites.
        result: what is known of the whole model; changed in place.
        pairs: inputs and outputs; those of another type refute, whatever the sites say.
    """
    result.sites = sites.sites
    result.notes += [*map(_worded, sites.sites.findings[:_SHOWN]), *sites.notes]
    verdict = sites.sites.verdict
    wrong = [finding for finding in sites.sites.findings if finding.outcome == "different"]
    if wrong:
        result.first_difference = _difference(wrong[0])
    if pairs.faults and result.verdict != "different":
        result.verdict = "different"
        result.notes += [f"{name!r} {fault}" for name, fault in pairs.faults.items()]
    elif verdict == "different" or (result.verdict == "unverified" and not result.outputs):
        result.verdict = verdict
    elif verdict == "unverified" and result.ok:
        result.notes.append("some sites could not be judged; the verdict rests on the whole model")


def _worded(finding: Finding) -> str:
    text = f"{finding.tensor}: {finding.outcome}: {finding.why}"
    if finding.family:
        proof = "reached from the model's inputs" if finding.proved else f"boundary widened {finding.widened} times"
        text += f", on {finding.family} values ({proof}); {finding.before} became {finding.after}"
    return text + (f"; reproduction in {finding.repro}" if finding.repro else "")


def _difference(finding: Finding) -> Difference:
    node = finding.before.split(" ", 1)[-1]
    tensor = finding.tensor.split(" (now ")[0]
    return Difference(tensor, node, finding.max_abs, finding.before, f"{finding.after}: {finding.why}")
