"""``surgery show``: the page of a rewrite, or the rules of a target."""

from __future__ import annotations

import argparse

from surgery import registry, targets
from surgery.errors import BadInput, nearest
from surgery.render import pages
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("name", metavar="NAME", help="of the rewrite or target ('surgery list' has the names)")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    if arguments.name in targets.SUMMARIES:
        return _show_target(arguments.name, screen)
    known = [*registry.entries(), *targets.SUMMARIES]
    if arguments.name.replace("_", "-") not in known:
        there = f"{nearest(arguments.name, known)}there is: {', '.join(sorted(known))}"
        raise BadInput(f"there is no rewrite or target {arguments.name!r}", cure=there)
    entry = registry.find(arguments.name)
    # A pass and a rewriter may treat one subject under one name.
    others = [e for e in registry.listed() if e.name == entry.name and e.kind != entry.kind]
    if screen.json:
        document, *also = ({**pages.entry_document(e), "page": e.page} for e in (entry, *others))
        screen.document({**document, "also": also} if also else document)
        return 0
    for i, one in enumerate((entry, *others)):
        if i:
            screen.say()
        pages.show_page(screen, one)
    return 0


def _show_target(name: str, screen: Screen) -> int:
    from surgery.render.targets import show_target, target_document

    target = targets.get(name)
    if screen.json:
        screen.document(target_document(target))
    else:
        show_target(screen, target)
    return 0
