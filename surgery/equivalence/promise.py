"""What is promised of the places that were rewritten; plain data, for both sides of the pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from surgery.contract import Close, Contract
from surgery.draft import Copied

RTOL = 1e-5  # of the largest magnitude of a tensor


@dataclass(frozen=True)
class Promise:
    """What verifying sites goes by.

    Args:
        rtol: relative to the largest magnitude of the tensor; for float32, scaled for others.
        atol: absolute.
        domain: between what finite values it holds, by the formal name of an operator's input
            ("grid" of GridSample). Values outside of it are no evidence.
        each: it is of each place by itself, as that of a pass is. Else only what the models' inputs lead to counts.
        copied: weights of the model after that are those of the one before, as who wrote it knows.
        budget: seconds.
    """

    rtol: float = RTOL
    atol: float = 0.0
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    each: bool = False
    copied: Sequence[Copied] = ()
    budget: float = 120.0

    @classmethod
    def of(
        cls, promises: Iterable[tuple[Contract, Mapping[str, tuple[float, float]]]], copied: Sequence[Copied] = ()
    ) -> Promise:
        """What all of several passes promise: the loosest tolerance, the narrowest domain.

        Args:
            promises: the contract and the domain of each pass.
            copied: see the class.
        """
        close: list[Close] = []
        domain: dict[str, tuple[float, float]] = {}
        for contract, bounds in promises:
            if isinstance(contract, Close):
                close.append(contract)
            for name, (low, high) in bounds.items():
                known = domain.get(name, (low, high))
                domain[name] = max(low, known[0]), min(high, known[1])
        rtol = max((c.rtol for c in close), default=RTOL)
        return cls(rtol, max((c.atol for c in close), default=0.0), domain, each=True, copied=copied)
