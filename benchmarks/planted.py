"""Planted faults: how many are caught, rightly named, and shown by how small a reproduction.

    python -m benchmarks.planted

Pairs of small models, wrong in a corner (``tests/planted/corner.py``) or right though they look wrong
(``right.py``), and wrong passes over one larger model (``whole.py``). Beside it: how many of the wrong pairs
are noticed by comparing whole models at our probes, and by one uniform draw at free dims 1 with the
tolerances of onnxslim (1e-3, 1e-4) and of Polygraphy (1e-5, 1e-5).
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

import surgery
from benchmarks._measure import Figures
from surgery.equivalence import verify as whole
from surgery.equivalence.promise import RTOL, Promise
from surgery.equivalence.session import Failed, Session
from surgery.equivalence.sizes import Symbols
from surgery.equivalence.subject import Subject

TESTS = Path(__file__).resolve().parent.parent / "tests"
NODES = 10  # of each half of a reproduction, in the median
NAMED = 0.95
PEERS = {"onnxslim": (1e-3, 1e-4), "Polygraphy": (1e-5, 1e-5)}  # rtol, atol


def run(figures: Figures) -> None:
    """Measure, print and judge."""
    sys.path.insert(0, str(TESTS))
    wrong_pairs, right_pairs = _planted("corner").WRONG, _planted("right").RIGHT
    missed, named, sizes = 0, 0, []
    noticed = dict.fromkeys(["whole models at our probes", *PEERS], 0)
    for case in wrong_pairs:
        with _files(case) as (before, after, folder):
            result = whole(before, after, exact=case.exact, promise=_promise(case), repro=folder / "repro")
            wrong = [finding for finding in result.sites.findings if finding.outcome == "different"]
            if result.verdict != "different":
                print(f"  missed: {case.name}")
                missed += 1
            elif wrong:
                named += wrong[0].tensor.split(" ")[0] == case.tensor
                sizes.append(wrong[0].nodes)
            noticed["whole models at our probes"] += whole(before, after).verdict == "different"
            for peer, (rtol, atol) in PEERS.items():
                noticed[peer] += not _agree(before, after, rtol, atol)
    print(f"{len(wrong_pairs)} wrong pairs; noticed by", ", ".join(f"{k}: {n}" for k, n in noticed.items()))
    figures.amount("wrong pairs missed", missed, 0, "")
    figures.amount("first tensor named wrongly, share", 1 - named / len(wrong_pairs), 1 - NAMED, "")
    figures.amount("nodes before, median", median(a for a, _ in sizes), NODES, "")
    figures.amount("nodes after, median", median(b for _, b in sizes), NODES, "")
    refused = [case.name for case in right_pairs if not _accepted(case)]
    print(f"{len(right_pairs)} right pairs", *(f"refused: {name}" for name in refused))
    figures.amount("right pairs refused", len(refused), 0, "")
    _passes(figures)


def _accepted(case: Any) -> bool:
    """Whether a right rewrite is accepted, held to its own promise."""
    with _files(case) as (before, after, _):
        return whole(before, after, exact=case.exact, promise=_promise(case)).ok


def _promise(case: Any) -> Promise:
    return Promise(RTOL, case.atol, case.domain, each=True)


def _planted(name: str) -> Any:
    return importlib.import_module(f"planted.{name}")


def _passes(figures: Figures) -> None:
    """Wrong passes, each after a right one: both the pass and the first wrong tensor are to be named."""
    net, made_wrong = _planted("net"), _planted("whole")
    missed, blamed = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(net.build(), path)
        for name, made in made_wrong.PLANTED.items():
            first = [] if name == "Slope" else ["hardswish"]  # its own operator must be left to it
            found = surgery.apply(path, [*first, made()]).report.verify
            missed += found.verdict != "different"
            difference = found.first_difference
            right = found.guilty == name and difference is not None and difference.tensor == made_wrong.TENSOR[name]
            if not right:
                print(f"  named wrongly: {name}: {found.guilty}, {difference and difference.tensor}")
            blamed += right
    print(f"{len(made_wrong.PLANTED)} wrong passes")
    figures.amount("wrong passes missed", missed, 0, "")
    figures.amount("pass or tensor named wrongly, share", 1 - blamed / len(made_wrong.PLANTED), 1 - NAMED, "")


@contextmanager
def _files(case: Any) -> Iterator[tuple[Path, Path, Path]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = folder / "before.onnx", folder / "after.onnx"
        for path, proto in zip(paths, case.models(), strict=True):
            onnx.save(proto, path)
        yield (*paths, folder)


def _agree(before: Path, after: Path, rtol: float, atol: float) -> bool:
    """Whether one draw of U[0, 1) at free dims 1 shows no difference; what can't be run shows none."""
    subject = Subject.read(before)
    draw = np.random.default_rng(0)
    symbols = Symbols.of(subject.inputs, {}, {}, 1)
    shapes: Mapping[str, Any] = {p.name: symbols.shape(p.name, symbols.all(1, 1, 1)) for p in subject.inputs}
    feeds = {port.name: draw.random(shapes[port.name]).astype(port.numpy) for port in subject.inputs}
    try:
        old = Session(subject).run(feeds)
    except Failed:
        return True
    try:
        new = Session(Subject.read(after)).run(feeds)
    except Failed:
        return False
    return all(_near(old[name], new.get(name), rtol, atol) for name in old)


def _near(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.dtype.kind not in "fiub":
        return True
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.allclose(a, b, rtol, atol, equal_nan=True))


def main() -> int:
    figures = Figures()
    run(figures)
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
