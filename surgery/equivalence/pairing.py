"""Pair the inputs, outputs and logits of two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from surgery.equivalence.ports import Port
from surgery.equivalence.subject import Subject
from surgery.equivalence.taps import Tap

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
    bound: bool = False  # and is to: only sizes that it takes count
    casts: dict[str, np.dtype] = field(default_factory=dict)  # of inputs by name after, outputs by `via` before
    inner: list[str] = field(default_factory=list)  # tensors before that are outputs only after


def pair(
    before: Subject,
    after: Subject,
    match: str,
    interface: AbstractSet[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Pairs:
    """Pair two models.

    Args:
        before: the model before.
        after: the model after.
        match: by "name", by "position", or "order": by name, and in the same order.
        interface: what is to change, of `contract.INTERFACE`; None where that is not known.
        names: what inputs and outputs that were renamed were called before, by the name after; None where that is
            not known.

    Raises:
        Mismatch: an input or output has no counterpart, or stands elsewhere.
    """
    pairs = Pairs(bound=interface is not None and "dims" in interface)
    allowed = interface or frozenset()
    for a, b in _partners(before.inputs, after.inputs, "input", match, interface, pairs, names):
        pairs.inputs[b.name] = a.name
        if fault := _changed(a, b, allowed):
            pairs.faults[a.name] = f"input {fault}"
        elif a.elem != b.elem:
            pairs.casts[b.name] = b.element
        pairs.narrower |= _narrower(a, b)
    for a, b in _partners(before.outputs, after.outputs, "output", match, interface, pairs, names):
        pairs.outputs.append((a, b))
        if fault := _changed(a, b, allowed):
            pairs.faults[a.name] = fault
        elif a.elem != b.elem:
            pairs.casts[a.via] = b.element
    if "outputs" in allowed:
        _inner(before, after, pairs, allowed, names or {})
    elif not pairs.outputs and before.outputs:
        raise Mismatch("the models have no output in common")
    _defaults(before, after, interface, pairs)
    for port_a, port_b in pairs.outputs:
        taps_a = [tap for tap in before.taps if tap.output == port_a.via]
        taps_b = [tap for tap in after.taps if tap.output == port_b.via]
        if len(taps_a) == len(taps_b):
            pairs.taps += [(a, b) for a, b in zip(taps_a, taps_b, strict=True) if _family(a) == _family(b)]
    return pairs


def renamed(feeds: Mapping[str, Any], pairs: Pairs) -> dict[str, Any]:
    """Feeds of the model before by the names, and of the element types, of the model after."""
    return {theirs: _cast(feeds[ours], pairs.casts.get(theirs)) for theirs, ours in pairs.inputs.items()}


def narrowed(feeds: Mapping[str, Any], pairs: Pairs) -> dict[str, Any]:
    """Feeds of the model before with the values that are left once the model after has taken them.

    A float16 input holds other values than the float32 one before; what the model makes of those
    is what is compared.
    """
    through = {pairs.inputs[name]: dtype for name, dtype in pairs.casts.items() if name in pairs.inputs}
    return {
        name: _cast(_cast(value, through[name]), np.asarray(value).dtype) if name in through else value
        for name, value in feeds.items()
    }


def recast(value: Any, port: Port, pairs: Pairs) -> Any:
    """A result of the model before, `port`, in the element type that it has after."""
    return _cast(value, pairs.casts.get(port.via))


def fits(feeds: Mapping[str, Any], after: Subject, pairs: Pairs) -> bool:
    """Whether feeds of the model before have the sizes that the model after declares."""
    return all(
        port.dims is None
        or port.name not in pairs.inputs
        or all(
            not isinstance(d, int) or d < 0 or d == n
            for d, n in zip(port.dims, np.shape(feeds[pairs.inputs[port.name]]), strict=False)
        )
        for port in after.inputs
    )


def _cast(value: Any, dtype: np.dtype | None) -> Any:
    if dtype is None or not isinstance(value, np.ndarray) or value.dtype == dtype:
        return value
    with np.errstate(over="ignore", invalid="ignore"):
        cast = value.astype(dtype)
    return cast.astype(np.float32) if dtype.kind == "V" else cast  # see `Port.numpy`


def _partners(
    before: Sequence[Port],
    after: Sequence[Port],
    noun: str,
    match: str,
    interface: AbstractSet[str] | None,
    pairs: Pairs,
    names: Mapping[str, str] | None,
) -> list[tuple[Port, Port]]:
    if match == "position":
        return _by_position(before, after, noun)
    called = names or {}
    theirs, ours = {called.get(p.name, p.name): p for p in after}, {p.name: p for p in before}
    gone = [name for name in ours if name not in theirs]
    new = [name for name in theirs if name not in ours]
    couples = {name: name for name in ours if name in theirs}
    if names is None and interface and "names" in interface and len(gone) == len(new):
        couples.update(zip(gone, new, strict=True))
        gone, new = [], []
    allowed = interface is not None and f"{noun}s" in interface
    # An input that is not needed any more, or an output on top, does no harm where nothing else is known.
    bad, idle = (new, gone) if noun == "input" else (gone, new)
    if bad and not (allowed and noun == "output"):
        where = "before" if noun == "input" else "after"
        has = f"; only the other has {_listed(idle)}" if idle else ""
        raise Mismatch(f"the model {where} has no {noun} {_listed(bad)}{has}")
    if idle and interface is not None and not allowed:
        raise Mismatch(f"the {noun} {_listed(idle)} is {'gone' if noun == 'input' else 'new'}")
    if gone:
        pairs.notes.append(f"{noun} {_listed(gone)} is only in the model before")
    if new and noun == "output" and not allowed:
        pairs.notes.append(f"{noun} {_listed(new)} is only in the model after")
    order = [couples[name] for name in ours if name in couples]
    now = [name for name in theirs if name in couples.values()]
    if order != now:
        text = f"the {noun}s stand in another order: {_listed(now)}, before {_listed(order)}"
        if match == "order":
            raise Mismatch(text)
        pairs.notes.append(text)
    return [(ours[a], theirs[b]) for a, b in couples.items()]


def _inner(before: Subject, after: Subject, pairs: Pairs, allowed: AbstractSet[str], names: Mapping[str, str]) -> None:
    """Pair outputs that are new with tensors of their names."""
    known = {port.name for _, port in pairs.outputs}
    made = {name for node in before.proto.graph.node for name in node.output}
    for port in after.outputs:
        if port.name in known:
            continue
        tensor = names.get(port.name, port.name)
        if tensor in made and port.via == port.name:
            pairs.outputs.append((replace(port, dims=None, via=tensor), port))
            pairs.inner.append(tensor)
            if "dtypes" in allowed:
                pairs.casts[tensor] = port.element
        else:
            raise Mismatch(f"output {port.name!r} is new, and there is no such tensor before to compare with")


def _defaults(before: Subject, after: Subject, interface: AbstractSet[str] | None, pairs: Pairs) -> None:
    """Inputs with defaults are part of the interface, too, though nobody needs to feed them."""
    gone = [name for name in before.defaults if name not in after.defaults]
    if gone and not (interface is not None and "inputs" in interface):
        pairs.notes.append(f"input {_listed(gone)}, which has a default, can't be fed any more")


def _by_position(before: Sequence[Port], after: Sequence[Port], noun: str) -> list[tuple[Port, Port]]:
    if len(before) != len(after):
        raise Mismatch(f"the model before has {len(before)} {noun}s, the model after {len(after)}")
    return list(zip(before, after, strict=True))


def _changed(a: Port, b: Port, allowed: AbstractSet[str]) -> str:
    if a.kind != b.kind:
        return f"was a {a.kind}, is a {b.kind}"
    if a.elem != b.elem and "dtypes" not in allowed:
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
