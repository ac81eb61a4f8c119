"""Hold an exported file against what the module gave, and look for where a difference begins."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surgery import equivalence
from surgery.equivalence.compare import RULES, Rule, distance, precision
from surgery.equivalence.subject import Subject
from surgery.exporter.inputs import Case
from surgery.exporter.locate import first_difference
from surgery.report import Difference, Verification

if TYPE_CHECKING:
    import torch

AGAIN = (
    "the module itself gives other results when it is run again on the same inputs: "
    "it draws at random, or keeps something from call to call"
)


def verify_export(
    path: Path,
    cases: Sequence[Case],
    names: Sequence[str],
    rtol: float | None,
    atol: float | None,
    seed: int,
    tell: Callable[[str], None],
) -> Verification:
    """Hold the file against what the module gave."""
    arrays: dict[str, np.ndarray] = {}
    subject = Subject.read(path)
    taken = {port.name for port in subject.inputs}
    for i, case in enumerate(cases):
        arrays |= {f"{name}.{i}": value for name, value in case.arrays().items() if name in taken}
        arrays |= {f"{name}.{i}": value for name, value in zip(names, case.outputs, strict=True)}
    stored = path.with_name("reference.npz")  # in the draft's folder, which is removed
    np.savez(stored, **arrays)  # type: ignore[arg-type]
    rule = _rule(subject, cases, rtol, atol)
    found = equivalence.verify_reference(path, stored, rtol=rule.rtol, atol=rule.atol, seed=seed, on_progress=tell)
    for probe in found.probes:
        probe.kind = "the module's own"
    found.notes = [n.replace("the reference", "the module") for n in found.notes if "agrees with the ref" not in n]
    if idle := [name for name in cases[0].feeds if name not in taken]:
        found.notes.append(f"nothing depends on {', '.join(map(repr, idle))}, which the exporter has left out")
    if not any(all(a.sizes[s] != b.sizes[s] for s in a.sizes) for a, b in itertools.combinations(cases, 2)):
        found.notes.append("the module rejects other sizes of all dynamic dims at once: each was compared alone")
    return found


def _rule(subject: Subject, cases: Sequence[Case], rtol: float | None, atol: float | None) -> Rule:
    """The tolerance: the user's, or one that suits the output with the smallest values."""
    if rtol is not None or atol is not None:
        return Rule(rtol or 0.0, 0.0, atol or 0.0)
    peaks = [
        max((float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in column), default=0.0)
        for column in zip(*(case.outputs for case in cases), strict=True)
        if column[0].dtype.kind == "f"
    ]
    usual = RULES[precision(subject)]
    return Rule(usual.rtol, 0.0, usual.scale * min(peaks, default=0.0))


def locate(
    path: Path,
    module: torch.nn.Module,
    cases: Sequence[Case],
    names: Sequence[str],
    result: Verification,
    rtol: float | None,
    atol: float | None,
) -> Difference | None:
    """Where the difference begins, on the smallest case that shows it."""
    from surgery.equivalence.session import Failed, Session

    subject = Subject.read(path)
    rule = _rule(subject, cases, rtol, atol)
    via = {port.name: port.via for port in subject.outputs}
    taken = {port.name for port in subject.inputs}
    session = None
    for case in sorted(cases, key=lambda case: sum(value.numel() for value in case.feeds.values())):
        try:
            session = session or Session(subject)
            values = session.run({n: a for n, a in case.arrays().items() if n in taken})
        except Failed:
            break  # the notes have the node
        gaps = [distance(a, values[via[name]], rule) for name, a in zip(names, case.outputs, strict=True)]
        if not all(gap.ok for gap in gaps):
            sizes = ", ".join(f"{name} {size}" for name, size in case.sizes.items())
            result.notes.append(f"the smallest inputs on which they differ are those at {sizes or 'the size traced'}")
            again = case.run(module)
            if not all(distance(a, b, rule).ok for a, b in zip(case.outputs, again, strict=True)):
                result.notes.append(AGAIN)
                return None
            return first_difference(path, module, case, rule)
    return None
