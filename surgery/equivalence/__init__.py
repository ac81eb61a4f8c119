"""Verification: does a model give what the one before it gave, as a whole and at every place that was changed?

The parts, in the order of the work: `subject` makes the copy that is run, with its `ports` and `taps`;
`roles`, `values`, `sizes` and `probes` make inputs for it, and `userdata` reads those that the user
gives; `session` runs it, `stages` in parts; `evidence` plants faults to learn what the probes see;
`pairing`, `compare` and `judge` tell rounding from difference, `reference` against stored results;
`locate` finds where a difference begins.

The package `sites` verifies the places that were changed, by a `promise`.

`baseline` is what is known of the model before, `comparison` what comes of one after; `examination`
makes one verdict of all, in the child process of `worker`, which `runner` starts.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgery.equivalence.runner import Verifier, verify, verify_reference

__all__ = ["Verifier", "verify", "verify_reference"]


def __getattr__(name: str) -> Any:
    # The child imports this package too, and is to start without what only the parent needs.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from surgery.equivalence import runner

    return getattr(runner, name)
