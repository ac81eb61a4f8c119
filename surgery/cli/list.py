"""``surgery list``: what the registry holds."""

from __future__ import annotations

import argparse

from surgery import registry
from surgery.render import pages
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("--kind", choices=("pass", "rewriter"), help="only rewrites of this kind")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    found = registry.listed(arguments.kind)
    if screen.json:
        screen.document({"rewrites": [pages.entry_document(entry) for entry in found]})
    else:
        pages.show_entries(screen, found)
    return 0
