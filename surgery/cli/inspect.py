"""``surgery inspect``: what is in a model."""

from __future__ import annotations

import argparse

from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="the ONNX file")
    parser.add_argument(
        "--node",
        metavar="PATTERN",
        help="show nodes instead, by a part of their name, output or operator; * and ? as in names of files",
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    from surgery.contents import read_contents
    from surgery.render.contents import show_contents, show_nodes
    from surgery.report import to_json

    contents = read_contents(arguments.model, arguments.node)
    if screen.json:
        screen.document(to_json(contents))
    elif contents.found is not None:
        show_nodes(screen, contents.found)
    else:
        show_contents(screen, contents)
    return 0
