"""``surgery compile``: compile a prepared model, run it, and compare with the model before surgery."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgery.cli import verifying
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument(
        "model", metavar="MODEL|DIR", help="a folder that 'prepare' wrote, or an ONNX file, which is prepared first"
    )
    parser.add_argument(
        "--target", default="", metavar="NAME[:OPTIONS]", help="a target; of a folder, the one it was prepared for"
    )
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="NAME:DIMS",
        help="of an ONNX file: sizes to prepare it for, as for 'prepare'; given again it is a further size",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="of an ONNX file: the folder to write (default: MODEL.TARGET)"
    )
    parser.add_argument(
        "--benchmark", action="store_true", help="measure time and throughput at every prepared size, on one thread"
    )
    parser.add_argument(
        "--tolerance",
        type=verifying.tolerance,
        default=1e-3,
        metavar="R",
        help="the largest difference that is taken, as a part of an output's range (default: 0.001)",
    )
    parser.add_argument(
        "--seed", type=verifying.seed, default=0, metavar="N", help="of an ONNX file: of the probes made (default: 0)"
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    from surgery.render.targets import show_compiled
    from surgery.targets.compile import compile

    result = compile(
        arguments.model,
        arguments.target,
        arguments.output,
        input_shapes=arguments.input_shape,
        benchmark=arguments.benchmark,
        tolerance=arguments.tolerance,
        progress=screen.step,
        **({} if Path(arguments.model).is_dir() else {"seed": arguments.seed}),
    )
    if screen.json:
        screen.document({"model": arguments.model, **result.to_json()})
    else:
        show_compiled(screen, result)
    return 0 if result.ok else 1
