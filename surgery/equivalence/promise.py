"""What is promised of the places that were rewritten; plain data, for both sides of the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RTOL = 1e-5  # of the largest magnitude of a tensor


@dataclass(frozen=True)
class Promise:
    """What verifying sites goes by.

    Args:
        rtol: relative to the largest magnitude of the tensor; for float32, scaled for others.
        atol: absolute.
        domain: between what finite values it holds, by the formal name of an operator's input
            ("grid" of GridSample). Values outside of it are no evidence.
        repro: the folder to write reproductions of what fails to, if any are wanted.
        budget: seconds.
    """

    rtol: float = RTOL
    atol: float = 0.0
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    repro: Path | None = None
    budget: float = 120.0
