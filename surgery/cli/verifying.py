"""The options of ``apply`` and ``verify`` that say how to verify."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser, *, folders: bool = False) -> None:
    """Add them; `folders`: --reference may be the folder of a chip's results."""
    group = parser.add_argument_group("verifying")
    add_tolerances(group)
    group.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="NAME:DIMS",
        help="sizes to verify at, in place of those found: x:2,3,48,320; several inputs: x:2,8;n:2",
    )
    group.add_argument(
        "--inputs",
        action="append",
        default=[],
        type=file,
        metavar="FILE.npz",
        help="inputs to verify on besides; arrays named as the model's inputs",
    )
    group.add_argument(
        "--reference",
        type=_file_or_folder if folders else file,
        metavar="FILE.npz",
        help="inputs, and the outputs that are right for them"
        + ("; or the folder of results that a chip gave for what 'prepare' wrote" if folders else ""),
    )
    group.add_argument(
        "--repro",
        type=_folder,
        metavar="DIR",
        help="for every place that fails: two small models, inputs, and a script that shows it",
    )
    group.add_argument(
        "--allow-unverified", action="store_true", help="accept what could be neither proven nor disproven"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write what was done and proven as a page for people"
    )


def add_tolerances(group: argparse._ActionsContainer) -> None:
    """Add those that every comparison has."""
    group.add_argument(
        "--rtol", type=tolerance, metavar="R", help="relative tolerance; of R and A, one alone leaves the other 0"
    )
    group.add_argument("--atol", type=tolerance, metavar="A", help="absolute tolerance")
    group.add_argument("--seed", type=seed, default=0, metavar="N", help="of the inputs made (default: 0)")


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as `surgery.equivalence.Verifier` takes them.

    Raises:
        BadInput: a probe can't be read.
    """
    probes = []
    if arguments.probe:
        from surgery.equivalence.userdata import parse_probe

        probes = [parse_probe(text) for text in arguments.probe]
    return {
        "rtol": arguments.rtol,
        "atol": arguments.atol,
        "probes": probes,
        "seed": arguments.seed,
        "inputs": arguments.inputs,
        "reference": arguments.reference,
        "repro": arguments.repro,
    }


def tolerance(text: str) -> float:
    """The argument of --rtol, --atol and --tolerance."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"a tolerance is a number from 0 on, not {text!r}")
    return value


def seed(text: str) -> int:
    """The argument of --seed."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, not {text!r}")
    return int(text)


def file(text: str) -> Path:
    """The argument of --inputs: a file that is there; else one would learn of it after minutes of work only."""
    path = Path(text)
    try:
        with open(path, "rb"):
            return path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{text}: {reason}") from None


def _folder(text: str) -> Path:
    """A folder that is there, or may be made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: Not a directory")
    return path


def _file_or_folder(text: str) -> Path:
    return Path(text) if Path(text).is_dir() else file(text)
