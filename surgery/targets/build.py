"""What a target's module gives for a model and its sizes: the commands, and the files that they read."""

from __future__ import annotations

from typing import NamedTuple

from surgery.targets.rule import Chosen
from surgery.targets.sizes import Sizes, refuse

_WIDTH = 110  # of a line of a script


class Step(NamedTuple):
    """One call of a compiler.

    Args:
        name: of what it makes, without a suffix.
        command: the compiler's arguments, its name first.
        files: configuration to write beside the model, by name.
        profiles: which profiles of the sizes the result runs.
    """

    name: str
    command: tuple[str, ...]
    files: dict[str, str] = {}
    profiles: tuple[int, ...] = ()


def line(command: tuple[str, ...]) -> str:
    """A command as a shell reads it, folded where it is long."""
    import shlex

    lines = [""]
    for word in map(shlex.quote, command):
        if lines[-1] and len(lines[-1]) + len(word) > _WIDTH:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def spellable(chosen: Chosen, sizes: Sizes, rule: str) -> None:
    """Refuse, by a rule, names of inputs that the compiler's flags can't hold."""
    for port in sizes.inputs:
        if set(",;\"'") & set(port.name) or not port.name.isprintable():
            refuse(chosen, rule, f"an input is named {port.name!r}: give it another name by the pass rename")


def shape_text(sizes: Sizes, dims: dict[str, tuple[str, ...]], between: str = ",", join: str = ";") -> str:
    """``x:1,3,-1,-1;b:2`` of texts by input."""
    return join.join(f"{port.name}:{between.join(dims[port.name])}" for port in sizes.inputs)


def dims_text(sizes: Sizes) -> dict[str, tuple[str, ...]]:
    """Of every input the dims that all profiles share, and -1 elsewhere."""
    return {name: tuple(str(d) for d in shape) for name, shape in sizes.common().items()}
