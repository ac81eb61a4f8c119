"""Join what the sites say with what the whole model says, into one verdict.

Either of the two can refute; a claim that fails names the place. What the runtime can't run whole
may still be proven by its sites. Sites that could not be judged take nothing from a model whose
outputs were seen to be equal, but it is said.
"""

from __future__ import annotations

from surgery.equivalence.pairing import Pairs
from surgery.equivalence.sites.verifier import SiteReport
from surgery.report import Difference, Finding, Verification

_SHOWN = 3  # findings that are told in words


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
