"""``surgery apply``: run passes over a model, verify the result, write it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from surgery.cli import verifying
from surgery.errors import BadInput
from surgery.render.screen import Screen

if TYPE_CHECKING:
    from surgery.authoring import Pass

_UNVERIFIED = "--reference FILE.npz can prove it; --allow-unverified accepts it as it is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="the ONNX file")
    parser.add_argument(
        "--pass",
        dest="passes",
        action="append",
        default=[],
        metavar="NAME[:OPTIONS]",
        help="a pass, with options k=v,k=v; may be given again ('surgery list' has the names)",
    )
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE.toml", help="passes from a file; those of --pass come after them"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write (default: MODEL with .surgery.onnx)")
    parser.add_argument("--force", action="store_true", help="allow OUT to be MODEL itself, or a file that is no model")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would match, and why near misses do not; write nothing"
    )
    parser.add_argument("--must-match", action="store_true", help="exit with 1 if a pass matches nothing")
    parser.add_argument("--provenance", action="store_true", help="note in the model's metadata what was done to it")
    parser.add_argument(
        "--verify",
        choices=("full", "model", "sites", "none"),
        default="full",
        help="what to compare: the model and every place, one of these, or nothing (default: full)",
    )
    verifying.add_arguments(parser)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    passes = _passes(arguments)
    how = verifying.settings(arguments)
    if arguments.verify == "none" and (arguments.reference or arguments.inputs or arguments.probe):
        raise BadInput(
            "--reference, --inputs and --probe ask for verification, and --verify none for none",
            cure="leave out one or the other",
        )

    output = arguments.output or default_output(arguments.model)
    if arguments.report:
        from surgery.render import html

        if arguments.report.resolve() == Path(output).resolve():
            raise BadInput("the report and the model can't be one file", where=str(output), cure="name another file")
        html.writable(arguments.report)

    from surgery.engine import apply
    from surgery.render import reports

    result = apply(
        arguments.model,
        passes,
        output,
        verify=arguments.verify,
        allow_unverified=arguments.allow_unverified,
        dry_run=arguments.dry_run,
        force=arguments.force,
        must_match=arguments.must_match,
        provenance=arguments.provenance,
        progress=screen.step,
        **how,
    )
    report = result.report
    if arguments.report:
        html.write(arguments.report, html.report_page(report))
    if screen.json:
        screen.document(report.to_json())
    else:
        reports.show_report(screen, report, dry_run=arguments.dry_run)
    missed = arguments.must_match and not all(one.places for one in report.passes)
    if result.ok or (arguments.dry_run and not missed):
        return 0
    if not screen.json:
        if missed:
            reports.explain_missed(screen, report)
        else:
            reports.explain(screen, report.verify, "nothing written", _cure(report.verdict))
    return 1


def default_output(model: str) -> Path:
    """``rare.onnx`` -> ``rare.surgery.onnx``, beside it."""
    path = Path(model)
    return path.parent / f"{path.name.removesuffix('.onnx')}.surgery.onnx"


def _passes(arguments: argparse.Namespace) -> list[str | Pass]:
    from surgery import registry
    from surgery.cli.recipe import read_recipe

    passes: list[str | Pass] = list(read_recipe(arguments.recipe)) if arguments.recipe else []
    passes += arguments.passes
    if not passes:
        known = sorted(registry.entries("pass"))
        raise BadInput("no pass is named", cure=f"name one by --pass; there is: {', '.join(known)}")
    return passes


def _cure(verdict: str) -> str:
    return _UNVERIFIED if verdict == "unverified" else ""
