"""What a target would refuse, or compute wrongly, at one place of a model."""

from __future__ import annotations

from typing import Any, NamedTuple


class Finding(NamedTuple):
    """One place where a rule of a target holds.

    ``node`` is the node's name (of its first output where it has none), or that of the input or
    output concerned; ``cures`` are passes by name. ``source`` says where the rule comes from,
    with its version; ``target`` whom it concerns.
    """

    target: str
    rule: str
    node: str
    operator: str
    happens: str
    why: str
    cures: tuple[str, ...]
    source: str

    @property
    def blocking(self) -> bool:
        """Whether the compiler can't be given the model as it is."""
        from surgery.targets.rule import BLOCKING

        return self.happens in BLOCKING

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {**self._asdict(), "cures": list(self.cures), "blocking": self.blocking}

    def __str__(self) -> str:
        cure = f"; cured by {' or '.join(self.cures)}" if self.cures else ""
        return f"{self.operator} {self.node}: {self.happens}: {self.why}{cure} [{self.rule}: {self.source}]"
