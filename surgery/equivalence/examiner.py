"""Examine models: one before, and one after the other what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from surgery.equivalence.baseline import Baseline, Settings
from surgery.equivalence.comparison import Comparison
from surgery.equivalence.pace import Pace
from surgery.equivalence.pairing import pair
from surgery.equivalence.promise import Promise
from surgery.equivalence.session import Failed, Session, extras
from surgery.equivalence.subject import Subject
from surgery.report import Verification


class Examiner:
    """Holds models after against the model before.

    Args:
        settings: what the user asked for.
        progress: is told in words what goes on.
        pace: how many runs go on at once.
    """

    def __init__(self, settings: Settings, progress: Callable[[str], None], pace: Pace | None = None) -> None:
        self.settings = settings
        self.progress = progress
        self.before = Baseline(settings, progress, pace)

    def baseline(self) -> None:
        """Load the model before, find probes, run them, and plant faults.

        Raises:
            BadInput: the model can't be read, or the user's data does not fit it.
        """
        self.before.find()

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
        before = self.before
        before.end = max(before.end, time.monotonic() + self.settings.budget / 3)
        before.least = least
        self.progress("comparing")
        before.pace.hurry.set()
        after = Subject.read(path)
        mode = ("full" if self.settings.whole else "sites") if promise else "model"
        result = Verification(mode=mode if before.subject else "reference")
        if before.subject is None:
            before.stored = [case for case in before.user_cases(after) if case.stored]
        pairs = pair(before.subject or after, after, self.settings.match, interface, names)
        result.notes += pairs.notes
        comparison = Comparison(before, after, None, pairs, result, exact, changes, locate)
        try:
            comparison.session = Session(after, extras(after)) if self.settings.whole else None
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
            other = "the whole model alone was compared" if self.settings.whole else "sites alone can't be verified"
            result.notes.append(f"element types of the interface changed: {other}")
        elif promise and before.subject:
            comparison.sites(promise)
        before.planted()
        result.notes[:0] = before.notes
        if time.monotonic() > before.end:
            result.notes.append(f"the budget of {self.settings.budget:g} s is spent")
        return result
