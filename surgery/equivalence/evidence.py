"""What the probes can see: faults are planted in the weights, and must be noticed.

Neither the spread of results nor their size tells whether a probe is any good; a softmax
that gives 1.0 for every input looks alive. So each of twelve weights, evenly spaced over the
graph, is changed by 1 % in turn, every element up or down by chance (a normalisation absorbs
a common factor), and the results are compared as those of another model would be.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from surgery.equivalence.compare import Distance, canonical
from surgery.equivalence.pace import Pace
from surgery.equivalence.session import Failed, Values
from surgery.equivalence.stages import Stages
from surgery.equivalence.subject import Subject

SHARE = 0.01

Seen = Literal["", "logits", "output"]
Judge = Callable[[str, Any, Any], Distance]  # output name, before, after


@dataclass
class Fault:
    """A weight to change, and where the change was noticed."""

    weight: str
    seen: Seen = ""


def faulty(subject: Subject, name: str, share: float, seed: int) -> np.ndarray:
    """The weight `name` with every element off by `share`, up or down."""
    weight = subject.weight(name)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # Drawing a sign for each of millions takes longer than the run; a prime count of them, repeated,
    # falls in step with no axis.
    factors = (1 + share * (rng.integers(0, 2, 8191) * 2 - 1)).astype(weight.dtype)
    flat = weight.reshape(-1)
    wrong = np.empty(flat.shape, flat.dtype)
    whole = flat.size - flat.size % factors.size
    np.multiply(flat[:whole].reshape(-1, factors.size), factors, out=wrong[:whole].reshape(-1, factors.size))
    np.multiply(flat[whole:], factors[: flat.size - whole], out=wrong[whole:])
    return wrong.reshape(weight.shape)


def plant(
    stages: Stages,
    faults: Sequence[Fault],
    sound: Values,
    expected: Values,
    judge: Judge,
    pace: Pace,
    *,
    share: float = SHARE,
    seed: int = 0,
    until: float = float("inf"),
) -> None:
    """Run with each fault in turn, and note in it where it is noticed.

    Args:
        stages: the model that holds the weights, with its logits as extras.
        faults: those to plant; changed in place.
        sound: what is fed, by the subject's own names, and what `stages` gave for it.
        expected: the results to compare with, by their names in the copy.
        judge: compares an output.
        pace: how many runs go on at once.
        share: the size of the fault.
        seed: of the signs.
        until: the time (`time.monotonic`) after which no more are tried.
    """
    subject = stages.subject

    def attempt(fault: Fault) -> None:
        if time.monotonic() > until:
            return
        wrong = faulty(subject, fault.weight, share, seed)
        try:
            fault.seen = noticed(subject, expected, stages.rerun(sound, fault.weight, wrong), judge)
        except Failed:
            fault.seen = "output"  # it would be noticed: the model fails

    pace.map(attempt, faults)


def noticed(subject: Subject, before: Values, after: Values, judge: Judge) -> Seen:
    """Where two results of one model differ; what `before` lacks is not looked at."""
    for port in subject.outputs:
        if port.via in before and not judge(port.name, before[port.via], after[port.via]).ok:
            return "output"
    for tap in subject.taps:
        if tap.tensor in before:
            a, b = canonical(tap, before[tap.tensor]), canonical(tap, after[tap.tensor])
            if not judge(tap.output, a, b).ok:
                return "logits"
    return ""
