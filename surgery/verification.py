"""Compare two models, by what was promised of the one after."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery import provenance, registry
from surgery.equivalence.promise import Promise
from surgery.equivalence.runner import Verifier
from surgery.errors import BadInput, Missing
from surgery.report import Verification

if TYPE_CHECKING:
    from surgery.authoring import Pass


def verify(before: str | os.PathLike[str], after: str | os.PathLike[str], **settings: Any) -> Verification:
    """Compare two models, as a whole and at every place where they differ.

    What the metadata of the model after say was done to it (``apply --provenance``) is held to what those
    passes promise; of anything else it is asked that it makes no difference to results.

    Args:
        before: the model file that is right.
        after: the one to compare with it.
        settings: those of `surgery.equivalence.Verifier`: ``rtol``, ``atol``, ``probes``, ``seed``, ``inputs``,
            ``reference``, ``match``, ``repro``.

    Raises:
        BadInput: a model or the user's data can't be used, or inputs or outputs do not pair.
    """
    with Verifier(before, **settings) as verifier:
        verifier.start()
        done = list(_done(_metadata(Path(before)), _metadata(Path(after))))
        promise = Promise.of((one.contract, one.domain) for one in done) if done else Promise()
        result = verifier.compare(after, locate=True, strict=True, promise=promise)
    if done:
        names = ", ".join(dict.fromkeys(one.name for one in done))
        result.notes.insert(0, f"places are held to what {names} promises, which the metadata name")
    return result


def _metadata(path: Path) -> dict[str, str]:
    from surgery.reading import read_proto

    return {entry.key: entry.value for entry in read_proto(path).metadata_props}


def _done(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Pass]:
    """The passes that the model after has been through since the one before; none where one is not known."""
    old, new = provenance.history(before) or [], provenance.history(after) or []
    if new[: len(old)] != old:
        return
    try:
        passes = [registry.build(str(entry["pass"]), dict(entry.get("options") or {})) for entry in new[len(old) :]]
    except (BadInput, Missing, TypeError, ValueError):  # a pass of another package, or of another version
        return
    yield from passes
