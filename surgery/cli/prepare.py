"""``surgery prepare``: cure a model for a target, verify it, and write model, command and proof."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgery.cli import verifying
from surgery.render.screen import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="the ONNX file; for converter_lite a MINDIR file, too")
    parser.add_argument(
        "--target",
        required=True,
        metavar="NAME[:OPTIONS]",
        help="a target, with options k=v,k=v ('surgery show NAME' has them)",
    )
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="NAME:DIMS",
        help="sizes to compile for, x:1,3,736,1280; 1~8 is a range, 1~4~8 one with what is most common, -1 any; "
        "several inputs: x:1,8;n:2; given again it is a further profile",
    )
    parser.add_argument("--profile", type=Path, metavar="FILE", help="a JSON list of sizes, a profile each")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--allow-findings", action="store_true", help="write even what the target is known to refuse or compute wrongly"
    )
    parser.add_argument(
        "--allow-unverified", action="store_true", help="accept what could be neither proven nor disproven"
    )
    parser.add_argument(
        "--inputs",
        action="append",
        default=[],
        type=verifying.file,
        metavar="FILE.npz",
        help="inputs to verify on and to prove the chip by, in place of those made at their sizes; arrays named as the "
        "model's inputs",
    )
    parser.add_argument("--seed", type=verifying.seed, default=0, metavar="N", help="of the probes made (default: 0)")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do it."""
    from surgery.targets import choose
    from surgery.targets.sizes import parse, read_profiles

    chosen = choose(arguments.target)
    profiles = [parse(text) for text in arguments.input_shape]
    if arguments.profile is not None:
        profiles += read_profiles(arguments.profile)

    from surgery.render.targets import show_prepared
    from surgery.targets.prepare import prepare

    result = prepare(
        arguments.model,
        chosen,
        profiles,
        arguments.output,
        allow_findings=arguments.allow_findings,
        allow_unverified=arguments.allow_unverified,
        progress=screen.step,
        seed=arguments.seed,
        inputs=arguments.inputs,
    )
    if screen.json:
        screen.document({"model": arguments.model, **result.to_json()})
    else:
        show_prepared(screen, result)
    return 0 if result.folder is not None else 1
