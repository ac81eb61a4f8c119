"""Views of the registry: the list of rewrites, and the page of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from surgery.registry import Entry
from surgery.render.screen import Screen
from surgery.render.text import columns, escape


def show_entries(screen: Screen, entries: Iterable[Entry], targets: Mapping[str, str]) -> None:
    """One line a rewrite, and one a target."""
    rows = [(entry.name, entry.kind, entry.summary) for entry in entries]
    rows += [(name, "target", summary) for name, summary in targets.items()]
    if rows:
        screen.say(columns(rows))
    else:
        screen.talk("there is none")


def show_page(screen: Screen, entry: Entry) -> None:
    """All that is known of a rewrite."""
    paint = screen.out.paint
    screen.say(f"{paint(entry.name, 'bold')}  {entry.kind}, {escape(entry.contract)}")
    screen.say()
    for line in entry.page.strip().splitlines():
        screen.say(escape(line.rstrip()))
    if entry.options:
        screen.say()
        screen.say(paint("Options", "bold"))
        rows = [(o.name, o.type, f"default {o.default}" if o.default else "required", o.comment) for o in entry.options]
        screen.say(columns(rows, indent=2))
    screen.say()
    screen.say(f"Source: {escape(entry.file)}")


def entry_document(entry: Entry) -> dict[str, Any]:
    """A rewrite for ``--json``."""
    return {
        "name": entry.name,
        "kind": entry.kind,
        "summary": entry.summary,
        "contract": entry.contract,
        "options": [
            {"name": o.name, "type": o.type, "default": o.default, "comment": o.comment} for o in entry.options
        ],
        "module": entry.module,
        "file": str(entry.file),
    }
