"""The probes of a prepared model: inputs at every size, and what the model before gives for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surgery.errors import BadInput
from surgery.targets.sizes import Sizes

if TYPE_CHECKING:
    from surgery.equivalence.session import Session
    from surgery.equivalence.subject import Subject

_FLAT = 0.1  # of what an output's values may reach; a probe that varies less tells little
_ATTEMPTS = 3  # at a probe that tells more, of each kind

Shapes = dict[str, list[int]]
Feeds = dict[str, np.ndarray]


@dataclass
class Case:
    """One probe: the inputs, what the model gave for them before, and the profile that they belong to."""

    feeds: Feeds
    outputs: dict[str, np.ndarray]
    profile: int = 0


def given(path: Path, sizes: Sizes, inputs: Sequence[str | Path]) -> list[Feeds]:
    """The user's inputs, as of ``surgery apply --inputs``.

    Args:
        path: the model.
        sizes: that it is compiled for.
        inputs: npz files.

    Raises:
        BadInput: they are not of the model, or of no size that it is compiled for.
    """
    from surgery.equivalence.subject import Subject
    from surgery.equivalence.userdata import read_cases

    subject = Subject.read(path)
    found = []
    for file in map(Path, inputs):
        for feeds, _ in read_cases(file, subject.inputs, subject.outputs, need_outputs=False):
            if _profile(sizes, feeds) is None:
                shapes = ";".join(f"{name}:{','.join(map(str, value.shape))}" for name, value in feeds.items())
                raise BadInput(f"{shapes} is none of the sizes asked for", where=str(file), cure="--input-shape")
            found.append(feeds)
    return found


def cases(
    path: Path, sizes: Sizes, shapes: Sequence[Shapes], seed: int, mine: Sequence[Feeds], notes: list[str]
) -> list[Case]:
    """The user's inputs, others at sizes that these do not have, and what the model gives for them.

    Args:
        path: the model before.
        sizes: that it is compiled for.
        shapes: to make inputs at; none: one that the model takes.
        seed: of those made.
        mine: the user's inputs.
        notes: gets lines on what could not be had.
    """
    from surgery.equivalence.session import Failed, Session
    from surgery.equivalence.subject import Subject

    subject = Subject.read(path)
    if other := next((port for port in (*subject.inputs, *subject.outputs) if port.kind != "tensor"), None):
        notes.append(f"no probes: {other.name!r} is no tensor, and files of tensors are what they are kept in")
        return []
    try:
        session = Session(subject)

        def run(feeds: Feeds) -> Case:
            values = session.run(feeds)
            outputs = {port.name: values[port.via] for port in subject.outputs if port.via in values}
            return Case(feeds, outputs, _profile(sizes, feeds) or 0)

        found = [run(feeds) for feeds in mine]
        there = [{name: list(value.shape) for name, value in case.feeds.items()} for case in found]
        missing = [shape for shape in shapes if shape not in there]
        if missing or not found:
            found += _made(subject, session, run, missing, seed, notes, len(found))
    except Failed as error:
        notes.append(f"no probes: the model before does not run ({error})")
        return []
    return found


def _made(
    subject: Subject,
    session: Session,
    run: Callable[[Feeds], Case],
    shapes: Sequence[Shapes],
    seed: int,
    notes: list[str],
    first: int,
) -> list[Case]:
    """Inputs at these sizes, on which the outputs vary."""
    from surgery.equivalence.probes import Prober
    from surgery.equivalence.values import KINDS

    prober = Prober(subject, seed, list(shapes))
    probed = prober.search(lambda feeds, seconds: session.run(feeds, seconds=seconds))
    if not probed:
        notes.append(f"no probes: the model before does not run ({prober.error})")
        return []
    # Numbers of the size that models are trained on; those of raw images only if these bring out nothing.
    kinds = sorted(KINDS, key=lambda kind: "255" in kind)
    found = [run(prober.case(index, kinds[0]).feeds) for index in range(len(shapes) or 1)]
    for index in range(len(found)):
        for attempt, kind in ((attempt, kind) for kind in kinds for attempt in range(_ATTEMPTS)):
            if _tells(found[index], _spans(found)) >= _FLAT:
                break
            prober.seed = seed + attempt
            other = run(prober.case(index, kind).feeds)
            spans = _spans([*found, other])
            if _tells(other, spans) > _tells(found[index], spans):
                found[index] = other
        if _tells(found[index], _spans(found)) < _FLAT / 100:
            notes.append(f"probe {first + index} leaves an output all but constant: it proves little")
    return found


def _spans(found: list[Case]) -> dict[str, float]:
    """Of every output how far its values reach, over all cases."""
    spans: dict[str, float] = {}
    for case in found:
        for name, value in case.outputs.items():
            largest = float(np.abs(value[np.isfinite(value)]).max(initial=0.0)) if value.dtype.kind in "fiu" else 0.0
            spans[name] = max(spans.get(name, 1e-6), _span(value), largest / 1000)
    return spans


def _tells(case: Case, spans: dict[str, float]) -> float:
    """How much the outputs of a case vary, as a part of what they might; of the one that varies least."""
    parts = [_span(value) / spans[name] for name, value in case.outputs.items() if value.dtype.kind == "f"]
    return min(parts, default=1.0)


def _span(value: np.ndarray) -> float:
    finite: Any = value[np.isfinite(value)] if value.dtype.kind == "f" else value.astype(np.float64)
    return float(np.ptp(finite)) if finite.size else 0.0


def _profile(sizes: Sizes, feeds: Feeds) -> int | None:
    """The profile that a probe belongs to."""
    for index, profile in enumerate(sizes.profiles):
        if all(
            len(shape) == feeds[name].ndim
            and all(
                dim.low <= size and (dim.high is None or size <= dim.high)
                for dim, size in zip(shape, feeds[name].shape, strict=True)
            )
            for name, shape in profile.items()
        ):
            return index
    return None
