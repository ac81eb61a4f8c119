"""Of a failing cut that spans several tensors, find the one that is wrong.

A claim may have been withdrawn though its name does not lie: a small fault changes a tensor by
more than a name may, and leaves the models' outputs nearly as they were. Its fault then shows in
what follows from it. So the withdrawn claims within a failing cut are made again, one at a time:
where the claim fails and what follows holds with it, the fault is there. Where a name does lie,
what follows fails too.
"""

from __future__ import annotations

from collections.abc import Callable

from surgery.equivalence.sites.congruence import Claim, Congruence
from surgery.equivalence.sites.cuts import Cut

_MOST = 6  # withdrawn claims that are made again


def culprit(cut: Cut, holds: Callable[[Cut], bool]) -> Cut | None:
    """The cut of the withdrawn claim that is at fault.

    Args:
        cut: one that fails on values of real runs.
        holds: whether a cut holds on them.

    Returns:
        None where there is no such claim.
    """
    match = cut.match
    known = {name for node in cut.before.nodes for name in node.output}
    inside = [name for node in cut.after.nodes for name in node.output if name in known and name != cut.claim.after]
    for name in [name for name in inside if match.settled.get(name, name) is None][:_MOST]:
        settled = {key: value for key, value in match.settled.items() if key != name}
        other = Congruence(match.before, match.after, match.pairs, settled)
        shared, first = other.shared, Claim(name, name)
        if first not in other.claims or holds(found := Cut.of(other, first, shared)):
            continue
        if cut.claim not in other.claims or holds(Cut.of(other, cut.claim, shared)):
            return found
    return None
