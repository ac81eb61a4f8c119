"""Follow the names of tensors through passes that give them others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


class Names:
    """What the tensors of a model were called at first.

    Only passes with ``names`` in their `interface` are followed: another that gives a tensor of the
    interface a new name makes a difference.
    """

    def __init__(self) -> None:
        self._was: dict[str, str] = {}  # by the name of now, where it is another
        self._held: list[tuple[ir.Value, str]] = []
        self._ports: list[list[str]] = []

    def before(self, model: ir.Model) -> None:
        """Note how things are called before a pass gives them other names."""
        self._held = [(value, value.name) for value in _values(model) if value.name]
        self._ports = _ports(model)

    def after(self, model: ir.Model) -> None:
        """Take into account what the pass has done."""
        # An input or output that is another object now stands where the old one stood.
        step = {
            new: old
            for olds, news in zip(self._ports, _ports(model), strict=True)
            if len(olds) == len(news)
            for old, new in zip(olds, news, strict=True)
            if old != new
        }
        step |= {value.name: old for value, old in self._held if value.name and value.name != old}
        gone = set(step.values())
        kept = {now: was for now, was in self._was.items() if now not in gone}
        self._was = kept | {now: self._was.get(old, old) for now, old in step.items()}
        self._held = []

    def of_ports(self, model: ir.Model) -> dict[str, str]:
        """The first names of those inputs and outputs that have another by now."""
        return {name: self._was[name] for names in _ports(model) for name in names if name in self._was}


def _values(model: ir.Model) -> Iterator[ir.Value]:
    yield from model.graph.inputs
    for node in model.graph:
        yield from node.outputs


def _ports(model: ir.Model) -> list[list[str]]:
    return [[value.name or "" for value in ports] for ports in (model.graph.inputs, model.graph.outputs)]
