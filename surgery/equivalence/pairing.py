"""Pair the inputs, outputs and logits of two models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from surgery.equivalence.subject import Port, Subject, Tap

_SMOOTH = {"Softmax", "LogSoftmax", "Hardmax", "ArgMax", "TopK"}


class Mismatch(Exception):
    """Two models whose inputs or outputs do not pair; the message says which."""


@dataclass
class Pairs:
    """What of the model before belongs to what of the model after."""

    inputs: dict[str, str] = field(default_factory=dict)  # name after -> name before
    outputs: list[tuple[Port, Port]] = field(default_factory=list)
    taps: list[tuple[Tap, Tap]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)  # output or input before -> what changed, in words
    notes: list[str] = field(default_factory=list)
    narrower: bool = False  # the model after fixes dims that were free


def pair(before: Subject, after: Subject, match: str) -> Pairs:
    """Pair two models by "name" or by "position".

    Raises:
        Mismatch: an input or output has no counterpart.
    """
    pairs = Pairs()
    partners = _by_position if match == "position" else _by_name
    for a, b in partners(before.inputs, after.inputs, "input", pairs.notes.append):
        pairs.inputs[b.name] = a.name
        if fault := _changed(a, b):
            pairs.faults[a.name] = f"input {fault}"
        pairs.narrower |= _narrower(a, b)
    for a, b in partners(before.outputs, after.outputs, "output", pairs.notes.append):
        pairs.outputs.append((a, b))
        if fault := _changed(a, b):
            pairs.faults[a.name] = fault
    for port_a, port_b in pairs.outputs:
        taps_a = [tap for tap in before.taps if tap.output == port_a.via]
        taps_b = [tap for tap in after.taps if tap.output == port_b.via]
        if len(taps_a) == len(taps_b):
            pairs.taps += [(a, b) for a, b in zip(taps_a, taps_b, strict=True) if _family(a) == _family(b)]
    return pairs


def renamed(feeds: Mapping[str, Any], pairs: Pairs) -> dict[str, Any]:
    """Feeds of the model before by the names of the model after."""
    return {theirs: feeds[ours] for theirs, ours in pairs.inputs.items()}


def _by_name(
    before: Sequence[Port], after: Sequence[Port], noun: str, note: Callable[[str], None]
) -> list[tuple[Port, Port]]:
    theirs, ours = {p.name: p for p in after}, {p.name: p for p in before}
    gone = [name for name in ours if name not in theirs]
    new = [name for name in theirs if name not in ours]
    # An input that is not needed any more, or an output on top, does no harm.
    bad, idle = (new, gone) if noun == "input" else (gone, new)
    if bad:
        lost = f"the model after has no {noun}" if noun == "output" else f"the model before has no {noun}"
        has = new if noun == "output" else gone
        raise Mismatch(f"{lost} {_listed(bad)}" + (f"; only the other has {_listed(has)}" if has else ""))
    if idle:
        note(f"{noun} {_listed(idle)} is only in the model {'before' if noun == 'input' else 'after'}")
    return [(ours[name], theirs[name]) for name in ours if name in theirs]


def _by_position(
    before: Sequence[Port], after: Sequence[Port], noun: str, note: Callable[[str], None]
) -> list[tuple[Port, Port]]:
    if len(before) != len(after):
        raise Mismatch(f"the model before has {len(before)} {noun}s, the model after {len(after)}")
    return list(zip(before, after, strict=True))


def _changed(a: Port, b: Port) -> str:
    if a.kind != b.kind:
        return f"was a {a.kind}, is a {b.kind}"
    if a.elem != b.elem:
        return f"was {a.dtype}, is {b.dtype}"
    if a.dims is not None and b.dims is not None and len(a.dims) != len(b.dims):
        return f"had {len(a.dims)} axes, has {len(b.dims)}"
    return ""


def _narrower(a: Port, b: Port) -> bool:
    def fixed(dim: object) -> bool:
        return isinstance(dim, int) and dim >= 0

    return any(fixed(y) and not fixed(x) for x, y in zip(a.dims or (), b.dims or (), strict=False))


def _family(tap: Tap) -> str:
    return "shift" if tap.op in _SMOOTH else tap.op


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
