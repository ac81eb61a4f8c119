"""``surgery verify``: compare a model with another, or with stored results."""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
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
        default="order",
        help="pair inputs and outputs by name in whatever order, or by position (default: by name, in one order)",
    )
    parser.add_argument(
        "--show", type=Path, metavar="PNG", help="picture both models' results on a probe, and their difference"
    )
    verifying.add_arguments(parser, folders=True)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    if arguments.after is None and arguments.reference is None:
        raise BadInput(
            "there is nothing to compare the model with", cure="name a second model, or --reference FILE.npz"
        )
    if arguments.show is not None and arguments.after is None:
        raise BadInput("--show pictures two models, and one is named", cure="name a second model")
    with contextlib.ExitStack() as stack:
        return _compare(arguments, screen, stack)


def _compare(arguments: argparse.Namespace, screen: Screen, stack: contextlib.ExitStack) -> int:
    how = verifying.settings(arguments) | {"match": arguments.match, "on_progress": screen.step}
    if arguments.reference is not None and (arguments.reference.is_dir() or arguments.reference.suffix == ".json"):
        from surgery.targets.proof import collect

        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="surgery-")))
        how["reference"] = collect(arguments.reference, folder / "chip.npz")

    if arguments.report:
        from surgery.render import html

        html.writable(arguments.report)
    if arguments.show is not None:
        from surgery.render import pictures

        pictures.writable(arguments.show)

    from surgery.equivalence import verify_reference
    from surgery.render import reports
    from surgery.report import to_json
    from surgery.verification import verify

    started = time.perf_counter()
    if arguments.after is None:
        result = verify_reference(arguments.before, **how)
        other = str(arguments.reference)
    else:
        result = verify(arguments.before, arguments.after, **how)
        other = arguments.after
    seconds = time.perf_counter() - started
    if arguments.report:
        html.write(arguments.report, html.verification_page(result, arguments.before, other, seconds))
    if arguments.show is not None and result.probes:
        from surgery.equivalence.rows import KIND

        # The model before takes a batch of rows only one by one.
        sizes = [p.shapes for p in result.probes if p.kind != KIND]
        largest = max(sizes, key=lambda shapes: sum(map(math.prod, shapes.values())))
        pictures.picture_models(arguments.show, Path(arguments.before), Path(arguments.after), largest, arguments.seed)
    accepted = result.ok or (arguments.allow_unverified and result.verdict == "unverified")
    if screen.json:
        screen.document({**to_json(result), "before": arguments.before, "after": other, "seconds": seconds})
    else:
        reports.show_verification(screen, result, arguments.before, other, seconds)
        if not result.ok:
            reports.explain(screen, result, "accepted" if accepted else "not accepted", "")
    return 0 if accepted else 1
