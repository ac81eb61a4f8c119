"""``surgery export``: export a torch module with rewriters in force, and verify the file against it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from surgery.cli import verifying
from surgery.errors import BadInput
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument(
        "source",
        metavar="MODULE:FACTORY",
        help="a function that returns the module and its arguments; or mmocr:CONFIG,CHECKPOINT,IMAGE",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the file to write")
    parser.add_argument("--opset", type=int, metavar="N", help="default: 17; 18 with the dynamo exporter")
    parser.add_argument(
        "--exporter", choices=("torchscript", "dynamo"), default="torchscript", help="of torch (default: torchscript)"
    )
    parser.add_argument(
        "--dynamic",
        action="append",
        default=[],
        metavar="NAME:DIMS",
        help="the dims of an input: a name where the size is free, a number where not: x:batch,3,height,width",
    )
    parser.add_argument("--backend", metavar="NAME", help="the compiler that the model is for, as rewriters name it")
    parser.add_argument(
        "--rewrite",
        dest="rewrites",
        action="append",
        default=[],
        metavar="NAME[:OPTIONS]",
        help="a rewriter, with options k=v,k=v; may be given again ('surgery list' has the names)",
    )
    parser.add_argument("--show", type=Path, metavar="PNG", help="picture both results and their difference")
    verifying.add_tolerances(parser)
    parser.add_argument(
        "--allow-unverified", action="store_true", help="write a file that the runtime here can't run, too"
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    dynamic = {}
    for text in arguments.dynamic:
        dynamic.update(parse_dims(text))

    from surgery.exporter.export import export
    from surgery.exporter.factory import call
    from surgery.exporter.inputs import named
    from surgery.render import exports

    module, args, usual = call(arguments.source)
    look = None
    if arguments.show is not None:
        from surgery.render.pictures import picture_export

        def look(path: Path, case: Any, names: Any) -> None:
            picture_export(arguments.show, path, case, names)

    result = export(
        module,
        args,
        arguments.output,
        dynamic=_axes(dynamic, named(module, args)[0]) if dynamic else usual,
        opset=arguments.opset,
        exporter=arguments.exporter,
        backend=arguments.backend,
        rewrites=arguments.rewrites,
        rtol=arguments.rtol,
        atol=arguments.atol,
        seed=arguments.seed,
        allow_unverified=arguments.allow_unverified,
        progress=screen.step,
        look=look,
    )
    if screen.json:
        screen.document({"source": arguments.source, **result.to_json()})
    else:
        exports.show_export(screen, arguments.source, result)
    return 0 if result.ok else 1


def parse_dims(text: str) -> dict[str, list[int | str]]:
    """``x:batch,3,h,w`` as the dims of x.

    Raises:
        BadInput: it is nothing of the kind.
    """
    name, colon, rest = text.rpartition(":")
    dims = [dim.strip() for dim in rest.split(",")]
    if not colon or not name or not all(dims):
        raise BadInput(f"{text!r} is no list of dims", where="--dynamic", cure='write "NAME:batch,3,height,width"')
    return {name: [int(dim) if dim.isdecimal() else dim for dim in dims]}


def _axes(dims: dict[str, list[int | str]], feeds: dict[str, Any]) -> dict[str, dict[int, str]]:
    """The free axes; the others are held against the arguments."""
    for name, wanted in dims.items():
        shape = list(feeds[name].shape) if name in feeds else wanted  # what has no such name is found later
        if len(shape) != len(wanted):
            raise BadInput(f"input {name!r} has {len(shape)} dims, not {len(wanted)}", where="--dynamic")
        for axis, (size, dim) in enumerate(zip(shape, wanted, strict=True)):
            if isinstance(dim, int) and dim != size:
                raise BadInput(f"axis {axis} of {name!r} is {size}, not {dim}", where="--dynamic")
    return {name: {i: d for i, d in enumerate(wanted) if isinstance(d, str)} for name, wanted in dims.items()}
