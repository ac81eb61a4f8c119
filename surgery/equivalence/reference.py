"""Hold a model against stored results: those of another framework, or of a chip."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from surgery.equivalence.compare import REFERENCE, Distance, Rule, distance
from surgery.equivalence.evidence import Fault, plant
from surgery.equivalence.judge import Floors
from surgery.equivalence.pace import Pace
from surgery.equivalence.pairing import Pairs, recast, renamed
from surgery.equivalence.probes import Case
from surgery.equivalence.session import Failed, Session, Values, as_users_run_it
from surgery.equivalence.sites.hostile import count
from surgery.equivalence.stages import Stages
from surgery.report import Evidence


@dataclass
class Holding:
    """What a reference says.

    Args:
        worst: of every stored output, by its name before, how far the model after is from it.
        before_agrees: whether the model before, where it runs, agrees.
    """

    worst: dict[str, Distance] = field(default_factory=dict)
    before_agrees: bool = True

    @property
    def ok(self) -> bool:
        """Whether the model after agrees."""
        return all(gap.ok for gap in self.worst.values())


def hold(stored: Sequence[Case], session: Session, pairs: Pairs, rule: Rule, seconds: float) -> Holding:
    """Run the model after on the inputs of `stored`, and compare with the outputs there.

    Stored results come from a program that reorders sums. So where the plain run differs beyond
    `rule`, the file as the runtime's users run it counts, optimised; and where that differs, too,
    only what is beyond the rounding that is seen. Unless the rule is the user's own.

    Raises:
        Failed: the model after does not run on them.
    """
    end = time.monotonic() + seconds
    runs = [Case(case.kind, renamed(case.feeds, pairs)) for case in stored]
    for run in runs:
        run.outputs = session.run(run.feeds, seconds=max(end - time.monotonic(), 0.1))
    floors = Floors(session.subject, runs)
    plain: list[Values] = []
    holding = Holding()
    for a, b in pairs.outputs:
        for i, (case, run) in enumerate(zip(stored, runs, strict=True)):
            if a.name not in case.stored:
                continue
            truth, floor = recast(case.stored[a.name], a, pairs), 0.0
            gap = distance(truth, run.outputs[b.via], rule)
            if rule == REFERENCE and not (gap.ok or gap.structural):
                plain = plain or [as_users_run_it(session.subject.path, run.feeds) for run in runs]
                gap = distance(truth, plain[i].get(b.name, run.outputs[b.via]), rule)
                if not gap.ok:
                    floor = floors.of(run, b.via)
                    gap = distance(truth, run.outputs[b.via], rule, floor)
            holding.worst[a.name] = holding.worst.get(a.name, Distance()).worst(gap)
            if a.via in case.outputs:
                same = distance(truth, recast(case.outputs[a.via], a, pairs), rule, floor)
                holding.before_agrees &= same.ok or distance(run.outputs[b.via], case.outputs[a.via], rule).ok
    return holding


def evidence(
    stored: Sequence[Case],
    session: Session,
    pairs: Pairs,
    rule: Rule,
    pace: Pace,
    share: float,
    seed: int,
    until: float,
) -> Evidence:
    """Plant faults in the model after, where the one before does not run; see `evidence.plant`."""
    faults = [Fault(name) for name in session.subject.plants]
    via = {a.name: b.via for a, b in pairs.outputs}
    with contextlib.suppress(Failed):  # what can't be planted is not seen
        stages = Stages(session.subject, [])
        for case in sorted(stored, key=lambda case: count(case.feeds)):  # most faults are seen on the smallest
            unseen = [fault for fault in faults if not fault.seen]
            if not unseen:
                break
            feeds = renamed(case.feeds, pairs)
            plant(
                stages,
                unseen,
                {**stages.run(feeds), **feeds},
                {via[name]: value for name, value in case.stored.items()},
                lambda name, a, b: distance(a, b, rule),
                pace,
                share=share,
                seed=seed,
                until=until,
            )
    return Evidence(len(faults), sum(bool(fault.seen) for fault in faults))
