"""Examine a model after: run whole, held against stored results, and at its sites; one verdict of all."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from surgery.equivalence.baseline import Baseline
from surgery.equivalence.comparison import Comparison
from surgery.equivalence.pairing import pair
from surgery.equivalence.promise import Promise
from surgery.equivalence.session import Failed, Session, extras
from surgery.equivalence.subject import Subject
from surgery.report import Verification


def examine(
    before: Baseline,
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

    Args:
        before: the baseline.
        path: the model after.
        exact: every bit is to be the same.
        changes: results may differ; how far is told.
        locate: the first difference is looked for, and named.
        promise: what is promised of the sites; None if they are not to be verified.
        least: rtol and atol that are allowed at least.
        interface: what of inputs and outputs is to change, of `contract.INTERFACE`; None where that is not known.
        names: what inputs and outputs that were renamed were called before, by the name after.

    Raises:
        BadInput: `path` is no readable model.
        Mismatch: its inputs or outputs do not pair with those of the model before.
    """
    before.end = max(before.end, time.monotonic() + before.settings.budget / 3)
    before.least = least
    before.progress("comparing")
    before.pace.hurry.set()
    after = Subject.read(path)
    mode = ("full" if before.settings.whole else "sites") if promise else "model"
    result = Verification(mode=mode if before.subject else "reference")
    if before.subject is None:
        before.stored = [case for case in before.user_cases(after) if case.stored]
    pairs = pair(before.subject or after, after, before.settings.match, interface, names)
    result.notes += pairs.notes
    comparison = Comparison(before, after, None, pairs, result, exact, changes, locate)
    # Against stored results one run follows another; against a model before, two go on at once.
    threads = 1 if before.subject else os.cpu_count() or 1
    try:
        comparison.session = Session(after, extras(after), threads=threads) if before.settings.whole else None
    except Failed as error:
        result.notes.append(f"the runtime does not load the model after: {error}")
        if not before.refused and before.subject:  # it did load the one before
            result.verdict = "different"
            before.planted()
            result.notes[:0] = before.notes
            return result
    if comparison.session:
        if before.cases:
            comparison.against_before()
        if before.stored:
            comparison.against_stored()
        elif not before.cases:
            result.notes.append(before.refused or "there is nothing to compare with")
    if promise and pairs.casts:
        other = "the whole model alone was compared" if before.settings.whole else "sites alone can't be verified"
        result.notes.append(f"element types of the interface changed: {other}")
    elif promise and before.subject:
        comparison.sites(promise)
    before.planted()
    result.notes[:0] = before.notes
    if time.monotonic() > before.end:
        result.notes.append(f"the budget of {before.settings.budget:g} s is spent")
    return result
