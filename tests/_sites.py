"""Run site verification on a pair of models; for tests."""

from __future__ import annotations

from pathlib import Path

import onnx
from planted.pairs import Case

from surgery.equivalence.pairing import pair
from surgery.equivalence.probes import Prober
from surgery.equivalence.promise import Promise
from surgery.equivalence.session import Session
from surgery.equivalence.sites.verifier import Asked, SiteReport, SiteVerifier
from surgery.equivalence.subject import Subject


def verify(case: Case, folder: Path, repro: Path | None = None) -> SiteReport:
    """Verify the sites of a case; its files go to `folder`."""
    subjects = []
    for name, proto in zip(("before", "after"), case.models(), strict=True):
        onnx.save(proto, folder / f"{name}.onnx")
        subjects.append(Subject.read(folder / f"{name}.onnx"))
    before, after = subjects
    session, prober = Session(before), Prober(before, 0)
    cases = prober.guesses() or prober.search(lambda feeds, seconds: session.run(feeds, seconds=seconds))
    assert cases, prober.error
    promise = Promise(atol=case.atol, domain=case.domain or {}, each=True)
    feeds = [probe.feeds for probe in cases]
    pairs = pair(before, after, "name")
    return SiteVerifier(before, after, pairs, feeds, promise, Asked(exact=case.exact, repro=repro)).run()
