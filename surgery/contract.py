"""What a rewrite promises of results: `Exact`, `Close` or `Changes`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exact:
    """Bit for bit the same in float32 with runtime optimisation off, NaN and inf positions too."""

    def __str__(self) -> str:
        return "exact"


@dataclass(frozen=True)
class Close:
    """Within a tolerance, which is for float32 and scales with the dtype's epsilon.

    Args:
        rtol: relative to the largest magnitude of the tensor.
        atol: in the tensor's own unit, for values near zero.
    """

    rtol: float = 1e-5
    atol: float = 1e-6

    def __str__(self) -> str:
        return f"close (rtol {self.rtol:g}, atol {self.atol:g})"


@dataclass(frozen=True)
class Changes:
    """Results differ on purpose, or the model before is wrong or can't run.

    Args:
        why: what differs, in one sentence.
    """

    why: str

    def __str__(self) -> str:
        return f"changes: {self.why}"


Contract = Exact | Close | Changes

INTERFACE = ("dims", "names", "dtypes", "inputs", "outputs")
"""What of a model's interface a pass may say that it changes on purpose, see `surgery.Pass`:

- ``dims``: declared sizes; the model after is compared at those that it takes.
- ``names``: of inputs and outputs; they pair by what they were called before.
- ``dtypes``: element types; feeds and results are cast for the comparison.
- ``inputs``: some that nothing reads any more are gone.
- ``outputs``: some are gone; a new one must be a tensor of the model before, by name, and is compared with it.
"""
