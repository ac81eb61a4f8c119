"""The Report: what was done to a model, and what was proven about it.

Plain data. `Report.to_json` is the document that ``--json`` prints, of schema 1.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1
_SHOWN = 5  # of the places that a pass left as they are

Verdict = Literal["equal", "changed", "different", "unverified", "untouched"]


@dataclass
class Skip:
    """A place that a pass left as it was, or a near miss, with the reason."""

    node: str
    why: str


@dataclass
class PassReport:
    """What one pass did.

    ``at`` names the places by their nodes; it is empty for passes that work on a graph as a whole.
    ``given`` names the options that were set; of the others, ``options`` has the defaults.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    places: int = 0
    at: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contract: str = ""
    verdict: Verdict = "untouched"
    seconds: float = 0.0


@dataclass
class Probe:
    """One set of inputs that the model was run on.

    ``shapes`` holds the shape of every input; ``kind`` names how the values were
    made ("bars", "noise", ...), or is "user" or "reference".
    """

    kind: str
    shapes: dict[str, list[int]]
    note: str = ""


@dataclass
class Evidence:
    """Of `planted` faults of 1 % in the weights, how many the probes noticed."""

    planted: int = 0
    seen: int = 0
    note: str = ""

    @property
    def weak(self) -> bool:
        """Whether too few were noticed for "equal" to mean much."""
        return self.planted > 0 and self.seen * 12 < self.planted * 10

    def __str__(self) -> str:
        if not self.planted:
            return "no weights to plant faults in"
        return f"{self.seen} of {self.planted} seen"


@dataclass
class OutputReport:
    """How far one output moved, the worst over all probes.

    ``max_abs``, ``max_rel`` and ``cosine`` are over the elements that are finite
    on both sides; ``outside`` is the share of elements beyond the tolerance, NaN
    and infinities in other places among them.
    """

    name: str
    max_abs: float = 0.0
    max_rel: float = 0.0
    cosine: float = 1.0
    outside: float = 0.0
    verdict: Verdict = "equal"
    note: str = ""

    @property
    def moved(self) -> str:
        """``max_abs`` in words: "-" where what differs are shapes, NaN and the like, which have no distance."""
        return "-" if self.outside and not self.max_abs else f"{self.max_abs:.3g}"


@dataclass
class Step:
    """A node of a cut, for drawings: operator, tensors, and its attributes in words."""

    op: str
    inputs: list[str]
    outputs: list[str]
    note: str = ""


@dataclass
class SiteKind:
    """Cuts of one structure: the first claim's tensor, how many there are, the nodes of both sides."""

    tensor: str
    places: int
    verdict: Verdict
    before: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)


Outcome = Literal["equal", "different", "not reached", "random", "unverified"]


@dataclass
class Finding:
    """A claim of the sites that does not hold, or that could not be judged.

    ``family`` names the values that showed it; ``real`` ones are those of a run of the whole
    model. ``proved`` says that inputs of the whole model lead there; ``widened`` how often the
    cut was widened. ``nodes`` counts those of each half.
    """

    tensor: str
    outcome: Outcome
    why: str
    before: str = ""
    after: str = ""
    family: str = ""
    max_abs: float = 0.0
    shapes: dict[str, list[int]] = field(default_factory=dict)
    proved: bool = False
    widened: int = 0
    nodes: tuple[int, int] = (0, 0)
    repro: str = ""  # the folder of the reproduction, if one was written


@dataclass
class Sites:
    """The result of verifying every cut where it was made.

    ``families`` counts, by the kind of values, the structures that were judged on it.
    """

    count: int = 0
    structures: int = 0
    verified: int = 0
    verdict: Verdict = "unverified"
    families: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)  # in the order of the model after
    seconds: float = 0.0
    kinds: list[SiteKind] = field(default_factory=list)


@dataclass
class Difference:
    """The first tensor, in the order of the graph before, that differs."""

    tensor: str
    node: str
    max_abs: float
    before: str = ""
    after: str = ""


@dataclass
class Verification:
    """What was compared, on which inputs, and what came of it.

    ``mode`` is "full", "model", "sites", "none" or "reference".
    """

    mode: str = "model"
    probes: list[Probe] = field(default_factory=list)
    evidence: Evidence = field(default_factory=Evidence)
    outputs: list[OutputReport] = field(default_factory=list)
    sites: Sites = field(default_factory=Sites)
    first_difference: Difference | None = None
    guilty: str | None = None
    verdict: Verdict = "unverified"
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether what was promised was seen to hold."""
        return self.verdict in ("equal", "changed", "untouched")

    def __str__(self) -> str:
        if not self.probes and not self.outputs and not self.notes:
            return self.verdict
        lines = [f"{self.verdict}: {len(self.probes)} probes, evidence {self.evidence}"]
        lines += [
            f"  {o.name}: {o.verdict}, max |d| {o.moved}, max rel {o.max_rel:.3g}, "
            f"cosine {o.cosine:.6f}, outside {o.outside:.2%}" + (f" ({o.note})" if o.note else "")
            for o in self.outputs
        ]
        if d := self.first_difference:
            moved = f", max |d| {d.max_abs:.3g}" if d.max_abs else ""
            lines.append(f"  first difference: {d.tensor} at {d.node}{moved}")
        return "\n".join(lines + [f"  {note}" for note in self.notes])


@dataclass
class Report:
    """The whole of one ``apply``; ``data`` are the files with weights that were written beside ``output``."""

    model: str
    output: str | None = None
    data: list[str] = field(default_factory=list)
    passes: list[PassReport] = field(default_factory=list)
    verify: Verification = field(default_factory=Verification)
    nodes: dict[str, int] = field(default_factory=lambda: {"before": 0, "after": 0})
    verdict: Verdict = "untouched"
    seconds: float = 0.0
    peak_bytes: int = 0

    def __str__(self) -> str:
        lines = [f"{self.model}: {self.nodes['before']} nodes before, {self.nodes['after']} after"]
        for one in self.passes:
            places = f"{one.places} place{'s' * (one.places != 1)}"
            lines.append(f"  {one.name}: {places}, {len(one.skipped)} left as they are; {one.contract}")
            lines += [f"    {skip.node}: {skip.why}" for skip in one.skipped[:_SHOWN]]
        lines += [f"  {line}" for line in str(self.verify).splitlines()]
        return "\n".join(
            [*lines, f"wrote {', '.join([self.output, *self.data])}" if self.output else "nothing written"]
        )

    def to_json(self) -> dict[str, Any]:
        """The document of ``--json``: plain types only, non-finite floats as strings."""
        return to_json(self)


def to_json(record: Any) -> dict[str, Any]:
    """A dataclass as a JSON document with its schema number."""
    return {"schema": SCHEMA, **_plain(dataclasses.asdict(record))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN and no infinities
    return value
