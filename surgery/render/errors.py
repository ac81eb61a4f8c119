"""The view of an error."""

from __future__ import annotations

from typing import Any

from surgery.errors import SurgeryError
from surgery.render.screen import Screen
from surgery.render.text import escape


def show_error(screen: Screen, error: SurgeryError, status: int) -> None:
    """What was wrong, where, and what to do about it, on stderr."""
    lines = error.what.splitlines() or [""]
    if status == SurgeryError.status:
        lines = lines[:1]  # the rest is for --debug
    screen.insist(f"{screen.err.paint('error', 'red')}: {escape(lines[0])}")
    for line in lines[1:]:
        screen.insist(f"  {escape(line)}")
    if error.where:
        screen.insist(f"  at {escape(error.where)}")
    if error.cure:
        screen.insist(f"  {escape(error.cure)}")


def error_document(error: SurgeryError, kind: str, status: int) -> dict[str, Any]:
    """The same for ``--json``."""
    words = {"what": error.what, "where": error.where, "cure": error.cure}
    return {"error": {"kind": kind, **words, "exit": status}}
