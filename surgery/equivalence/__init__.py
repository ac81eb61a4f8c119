"""Whole-model verification: does a model give what the one before it gave?

The parts, in the order of the work: `subject` makes the copy that is run, `roles`, `values`,
`sizes` and `probes` make inputs for it, `session` runs it, `evidence` plants faults to learn
what the probes see, `compare` and `judge` tell rounding from difference, `locate` finds where
it begins. `examiner` leads them, in the child process of `worker`, which `runner` starts.
"""

from surgery.equivalence.runner import Verifier, verify, verify_reference

__all__ = ["Verifier", "verify", "verify_reference"]
