"""``surgery show``: the page of a rewrite."""

from __future__ import annotations

import argparse

from surgery import registry
from surgery.render import pages
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("name", metavar="NAME", help="of the rewrite ('surgery list' has the names)")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    entry = registry.find(arguments.name)
    if screen.json:
        screen.document({**pages.entry_document(entry), "page": entry.page})
    else:
        pages.show_page(screen, entry)
    return 0
