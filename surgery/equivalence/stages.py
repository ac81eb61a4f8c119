"""Run a subject as a chain of sessions, so that a planted fault costs less than a whole run.

A fault deep in a network leaves all before it as it was: only the stages from the faulty
weight on are run again, on what the sound run gave at the cut. Each weight is mapped by its own
stage, so that the chain takes no more memory than one session.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from onnx import helper

from surgery.equivalence.session import Failed, Session, Values
from surgery.equivalence.subject import Subject
from surgery.protos import reads

_LEAST = 4  # stages; with fewer, little is saved


@dataclass
class _Stage:
    session: Session
    needs: list[str]  # names in the copy that are to be fed
    plants: list[str]


class Stages:
    """A subject that has been loaded in stages; runs as a `Session` does.

    Args:
        subject: what to run.
        extra: tensors to fetch besides the outputs.

    Raises:
        Failed: the runtime does not take the model.
    """

    def __init__(self, subject: Subject, extra: Sequence[str]) -> None:
        self.subject = subject
        self._via = {port.name: port.via for port in subject.inputs}
        cuts = _cuts(subject)
        try:
            self._stages = _load(subject, extra, cuts) if cuts else [_whole(subject, extra)]
        except Failed:  # what is at fault, or can't cross a cut, is for the whole to tell
            self._stages = [_whole(subject, extra)]

    def run(self, feeds: Mapping[str, Any], seconds: float = 60.0) -> Values:
        """Run once; as `Session.run`. What crosses a cut is among the results, for `rerun`."""
        return self._run({self._via[name]: value for name, value in feeds.items()}, {}, 0, seconds)

    def rerun(self, sound: Mapping[str, Any], weight: str, wrong: np.ndarray, seconds: float = 60.0) -> Values:
        """Run again with another value for a weight; `sound` is what `run` gave, and the feeds."""
        values = {self._via.get(name, name): value for name, value in sound.items()}
        start = next((i for i, stage in enumerate(self._stages) if weight in stage.plants), 0)
        return self._run(values, {weight: wrong}, start, seconds)

    def _run(self, known: Values, faults: Values, start: int, seconds: float) -> Values:
        end = time.monotonic() + seconds
        values, results = dict(known), dict[str, Any]()
        for stage in self._stages[start:]:
            fed = {name: values[name] for name in stage.needs}
            fed.update((name, value) for name, value in faults.items() if name in stage.plants)
            made = stage.session.run(fed, seconds=max(end - time.monotonic(), 0.01))
            values.update(made)
            results.update(made)
        return {**known, **results} if start else results


def _cuts(subject: Subject) -> list[int]:
    """The nodes, by number, before which to cut: each that reads a plant first."""
    found: dict[str, int] = {}
    plants = set(subject.plants)
    for number, node in enumerate(subject.proto.graph.node):
        for name in plants.intersection(reads(node)):
            found.setdefault(name, number)
    starts = sorted(found.values())
    if len(starts) < _LEAST or subject.random:
        return []
    return sorted({*starts} - {0})


def _whole(subject: Subject, extra: Sequence[str]) -> _Stage:
    return _Stage(Session(subject, extra), [port.via for port in subject.inputs], subject.plants)


def _load(subject: Subject, extra: Sequence[str], cuts: Sequence[int]) -> list[_Stage]:
    nodes = list(subject.proto.graph.node)
    declared = {value.name: value for value in subject.proto.graph.input}
    stages: list[_Stage] = []
    wanted = {*(port.via for port in subject.outputs), *extra}
    last = {name: number for number, node in enumerate(nodes) for name in reads(node)}  # that reads it
    for start, stop in pairwise([0, *cuts, len(nodes)]):
        part = nodes[start:stop]
        made = {name for node in part for name in node.output if name}
        later = {name for name in made if last.get(name, 0) >= stop}
        read = dict.fromkeys(name for node in part for name in reads(node))
        needs = [name for name in read if name in declared and name not in subject.weights]
        plants = [name for name in subject.plants if name in read]
        proto = subject.part(part, [declared[name] for name in (*needs, *plants)])
        ends = [name for name in made if name in wanted or name in later]
        session = Session(Subject(subject.path, proto, labels=subject.labels), ends)
        if not later <= session.elems.keys():
            raise Failed("a value on a cut can't be fed")
        for name, elem in session.elems.items():
            declared[name] = helper.make_tensor_value_info(name, elem, None)
        stages.append(_Stage(session, needs, plants))
    return stages
