"""``surgery list``: what the registry holds."""

from __future__ import annotations

import argparse

from surgery import registry, targets
from surgery.render import pages
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("--kind", choices=("pass", "rewriter", "target"), help="only those of this kind")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    found = registry.listed(arguments.kind)
    backends = targets.SUMMARIES if arguments.kind in (None, "target") else {}
    if screen.json:
        rewrites = [pages.entry_document(entry) for entry in found]
        screen.document({"rewrites": rewrites, "targets": [{"name": n, "summary": s} for n, s in backends.items()]})
    else:
        pages.show_entries(screen, found, backends)
    return 0
