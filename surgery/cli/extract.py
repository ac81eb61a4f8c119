"""``surgery extract``: a part of a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgery.errors import BadInput
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="the ONNX file")
    for option, name, what in (
        ("--from", "inputs", "tensors that become the inputs"),
        ("--to", "outputs", "tensors that become the outputs"),
    ):
        parser.add_argument(
            option,
            dest=name,
            action="append",
            required=True,
            metavar="T[,T]",
            help=f"{what}; may be given again",
        )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the file to write")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    from surgery.contents import read_contents
    from surgery.model import load, save
    from surgery.parts import extract, read_names
    from surgery.render.contents import show_contents
    from surgery.report import to_json

    if arguments.output.exists() and arguments.output.samefile(arguments.model):
        raise BadInput("the output is the model itself", where=str(arguments.output), cure="name another file")
    model = load(arguments.model)
    extract(model, read_names(model, arguments.inputs), read_names(model, arguments.outputs))
    contents = read_contents(save(model, arguments.output))
    if screen.json:
        screen.document(to_json(contents))
    else:
        show_contents(screen, contents)
    return 0
