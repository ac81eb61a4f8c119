"""Whether the inputs of a model lead to the strange values on which a claim fails.

Of a pass one may ask that it keeps its promise at every place by itself. Of a program that one
knows nothing of, only that the models agree: what a place does with a NaN counts if a NaN in
the models' inputs brings it about. So both models are run on strange inputs, and the tensors of
the claim are compared. Values that are merely large or small need no such excuse: models have them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from surgery.equivalence.sites.arbiter import Gap, Tolerance, compare
from surgery.equivalence.sites.claims import FAR as CLEARLY
from surgery.equivalence.sites.congruence import Claim, Congruence
from surgery.equivalence.sites.hostile import FAR, LOOSE, STRANGE, Attack
from surgery.equivalence.sites.recorder import Feeds, Recorder

BEYOND = {*FAR, *STRANGE}  # families that no model is made for


class Reach:
    """Both models on strange inputs; nothing is run before it is asked for.

    Args:
        match: the models.
        feeds: inputs of the model before that it runs on.
        seed: of all chance.
        left: how many seconds there are, at any moment.
    """

    def __init__(self, match: Congruence, feeds: Sequence[Feeds], seed: int, left: Callable[[], float]) -> None:
        attack = Attack([dict(fed) for fed in feeds], (), seed=seed)
        self._tries = [(family, fed) for family, fed in attack.hostile() if family in BEYOND]
        via = match.pairs.inputs
        self._before = Recorder(match.before, [fed for _, fed in self._tries], left)
        self._after = Recorder(match.after, [{b: fed[a] for b, a in via.items()} for _, fed in self._tries], left)

    def show(self, claim: Claim, tolerance: Tolerance) -> Gap | None:
        """How a claim fails, by more than rounding, on some strange input of the models; None if on none."""
        before, after = self._before.values([claim.before]), self._after.values([claim.after])
        for (family, _), old, new in zip(self._tries, before, after, strict=True):
            if claim.before in old and claim.after in new:
                gap = compare(old[claim.before], new[claim.after], tolerance, places=family not in LOOSE)
                if gap.why and (not gap.rounding or gap.max_abs > CLEARLY * gap.scale):
                    return gap
        return None
