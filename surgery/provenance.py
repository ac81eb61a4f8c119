"""Provenance: what was done to a model, kept in the model, when a user asks for it.

One metadata entry, ``surgery``: a JSON list of what every pass did, the oldest first. There
are no times in it: the same work gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgery import __version__
from surgery.errors import Refused
from surgery.report import PassReport

KEY = "surgery"

Entry = dict[str, Any]


def history(metadata: Mapping[str, str]) -> list[Entry] | None:
    """What the metadata of a model say was done to it; None if the entry is not ours."""
    try:
        entries = json.loads(metadata.get(KEY, "[]"))
    except (ValueError, RecursionError):
        return None
    ours = isinstance(entries, list) and all(isinstance(e, dict) and "pass" in e for e in entries)
    return entries if ours else None


def take(metadata: dict[str, str]) -> list[Entry]:
    """Take the entry out of a model's metadata, to be put back by `give` with more in it.

    Raises:
        Refused: there is an entry of that name which is not ours, and would be lost.
    """
    entries = history(metadata)
    if entries is None:
        raise Refused(
            f"the model's metadata have an entry {KEY!r} that is no history of ours",
            cure="leave out --provenance, or remove the entry first",
        )
    metadata.pop(KEY, None)
    return entries


def extended(entries: list[Entry], passes: list[PassReport], start: Path | None) -> list[Entry]:
    """The history with what was done now.

    Args:
        entries: the history so far.
        passes: what was done, with verdicts; passes without places leave no entry.
        start: the file that it was done to, if it was one.
    """
    digest = None
    if start is not None:
        with open(start, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return entries + [
        {
            "pass": done.name,
            "version": __version__,
            "options": done.options,
            "sites": done.places,
            "contract": done.contract,
            "verdict": done.verdict,
            "sha256": digest,
        }
        for done in passes
        if done.places
    ]


def give(metadata: dict[str, str], entries: list[Entry], file: Path | None) -> None:
    """Put the history into the metadata of a model in memory, and into its file.

    A verdict is known only once the file has been verified. It is not written again for that:
    what follows a message of protobuf is read as more of its fields.
    """
    metadata[KEY] = json.dumps(entries, default=str)
    if file is not None:
        import onnx

        more = onnx.ModelProto()
        more.metadata_props.add(key=KEY, value=metadata[KEY])
        with open(file, "ab") as end:
            end.write(more.SerializeToString())
