"""``surgery check``: what a target would refuse or compute wrongly, node by node."""

from __future__ import annotations

import argparse

from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="the ONNX file")
    parser.add_argument(
        "--target",
        required=True,
        metavar="NAME[:OPTIONS]",
        help="a target, with options k=v,k=v ('surgery list --kind target' has the names)",
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    from surgery.targets import choose

    target = choose(arguments.target)

    from surgery.render.targets import findings_document, show_findings
    from surgery.targets.check import check

    screen.step("reading")
    found = check(arguments.model, target)
    if screen.json:
        screen.document({"model": arguments.model, **findings_document(target, found)})
    else:
        show_findings(screen, target, found)
    return 1 if found else 0
