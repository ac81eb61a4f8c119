"""Real models through `prepare` for every target, and through `compile` where the backend is here.

    python -m benchmarks.targets [--models DIR] [--target NAME ...] [NAME ...]

On the real models of --models, or of the folder that SURGERY_MODELS names: two batches, and two widths where
the width is free. A row says "prepared"; or, after `compile`, the largest difference as a part of the output's
range, of which a thousandth is taken; or which operators `check` refuses beforehand, by its rules. Where both sizes
in one model are refused, each is tried alone, and the row says so. In brackets the passes that cured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._measure import Figures
from surgery.errors import Missing, SurgeryError
from surgery.targets import SUMMARIES, choose
from surgery.targets.compile import compile
from surgery.targets.prepare import prepare
from surgery.targets.sizes import parse

SIZES = {
    "rare": ("x:1,3,32,100", "x:2,3,32,100"),
    "starnet": ("x:1,3,32,100", "x:2,3,32,100"),
    "aster": ("input:1,3,64,256", "input:2,3,64,256"),
    "panet": ("input:1,3,64,96", "input:2,3,64,160"),
    "det_v4": ("x:1,3,64,96", "x:2,3,64,160"),
    "ppocrv4_det": ("x:1,3,64,96", "x:2,3,64,160"),
    "ppocrv4_rec": ("x:1,3,48,320", "x:2,3,48,160"),
    "ppocr_cls": ("x:1,3,48,192", "x:2,3,48,96"),
}
MUST = ("onnxruntime", "openvino", "mnn")  # these have all operators; what others lack has to be refused beforehand


def measured(model: Path, target: str, folder: Path, sizes: tuple[str, ...]) -> tuple[str, str]:
    """How a model comes through a target, "ok", "refused" beforehand or "NOT", and what is to be said of it."""
    chosen = choose(target)
    try:
        prepared = prepare(model, chosen, [parse(size) for size in sizes], folder)
    except SurgeryError as error:
        return "NOT", f"prepare: {error}"
    if prepared.folder is None:
        if prepared.report is not None:
            return "NOT", f"prepare: {prepared.report.verdict}"
        found = sorted({f"{finding.operator} ({finding.rule})" for finding in prepared.plan.blocking})
        return "refused", f"beforehand: {', '.join(found)}"
    names = dict.fromkeys(text.partition(":")[0] for text in prepared.plan.passes)
    passes = f" [{', '.join(names)}]" if names else ""
    if not chosen.target.packages:
        return "ok", f"prepared{passes}"
    try:
        done = compile(folder)
    except Missing as error:
        return "ok", f"prepared, not compiled: {error.what}{passes}"
    shares = [one.share for _, one in done.outputs if one.share is not None]
    worst = f" {max(shares):.1e} at {len(done.cases)} sizes" if shares else ""
    return "ok" if done.ok else "NOT", f"{done.verdict}{worst} {done.why}{passes}"


def through(model: Path, target: str, folder: Path) -> tuple[str, str]:
    """All sizes in one model; where that is refused, a model a size, which is said."""
    sizes = SIZES[model.stem]
    outcome, said = measured(model, target, folder / "all", sizes)
    if outcome != "refused":
        return outcome, said
    alone = [measured(model, target, folder / str(i), (size,)) for i, size in enumerate(sizes)]
    outcomes = {outcome for outcome, _ in alone}
    if outcomes == {"refused"}:
        # An operator that is lacking at any size.
        return "NOT" if target in MUST else "refused", alone[0][1]
    return "ok" if outcomes == {"ok"} else "NOT", f"a model a size: {'; '.join(said for _, said in alone)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SIZES), metavar="NAME")
    parser.add_argument("--target", action="append", choices=list(SUMMARIES))
    parser.add_argument("--models", type=Path, default=os.environ.get("SURGERY_MODELS"))
    arguments = parser.parse_args()
    if arguments.models is None:
        print("targets: not measured, for neither --models nor SURGERY_MODELS is given")
        return 0
    figures, failed = Figures(), 0
    for name in arguments.names:
        for target in arguments.target or SUMMARIES:
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                outcome, said = through(Path(arguments.models) / f"{name}.onnx", target, Path(folder))
                failed += outcome == "NOT"
                seconds = time.perf_counter() - start
                print(f"{name:12} {target:14} {outcome:7} {seconds:5.0f} s  {said}", flush=True)
    figures.amount("models that did not come through", failed, 0, "")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
