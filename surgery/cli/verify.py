"""``surgery verify``: compare a model with another, or with stored results."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from surgery.cli import verifying
from surgery.errors import BadInput
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("before", metavar="MODEL", help="the ONNX file; with OTHER, the one that is right")
    parser.add_argument("after", nargs="?", metavar="OTHER", help="the ONNX file to compare with it")
    parser.add_argument(
        "--match",
        choices=("name", "position"),
        default="name",
        help="how inputs and outputs of the two models belong together (default: name)",
    )
    parser.add_argument(
        "--show", type=Path, metavar="PNG", help="picture both models' results on a probe, and their difference"
    )
    verifying.add_arguments(parser)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    if arguments.after is None and arguments.reference is None:
        raise BadInput(
            "there is nothing to compare the model with", cure="name a second model, or --reference FILE.npz"
        )
    if arguments.show is not None and arguments.after is None:
        raise BadInput("--show pictures two models, and one is named")
    how = verifying.settings(arguments) | {"match": arguments.match, "on_progress": screen.step}

    from surgery import equivalence
    from surgery.render import reports
    from surgery.report import to_json

    started = time.perf_counter()
    if arguments.after is None:
        result = equivalence.verify_reference(arguments.before, **how)
        other = str(arguments.reference)
    else:
        result = equivalence.verify(arguments.before, arguments.after, **how)
        other = arguments.after
    seconds = time.perf_counter() - started
    if arguments.show is not None and result.probes:
        from surgery.render.pictures import picture_models

        largest = max((p.shapes for p in result.probes), key=lambda shapes: sum(map(math.prod, shapes.values())))
        picture_models(arguments.show, Path(arguments.before), Path(arguments.after), largest, arguments.seed)
    accepted = result.ok or (arguments.allow_unverified and result.verdict == "unverified")
    if screen.json:
        screen.document({**to_json(result), "before": arguments.before, "after": other, "seconds": seconds})
    else:
        reports.show_verification(screen, result, arguments.before, other, seconds)
        if not result.ok:
            reports.explain(screen, result, "accepted" if accepted else "not accepted", "")
    return 0 if accepted else 1
