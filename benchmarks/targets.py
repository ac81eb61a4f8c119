"""Real models through `prepare` for every target, and through `compile` where the backend is here.

    python -m benchmarks.targets [--models DIR] [--target NAME ...] [NAME ...]

On the real models of --models, or of the folder that SURGERY_MODELS names: two batches, and two widths where
the width is free. A row a model, a column a target: "prepared"; or after `compile` the largest difference as
a part of the output's range, and how often it is within the thousandth that is asked for; or what is refused,
by whom, and for which operators. In brackets the passes that cured.
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
MUST = ("onnxruntime", "openvino", "mnn")  # ncnn lacks operators: it has to be equal, or refused beforehand


def measured(model: Path, target: str, folder: Path) -> tuple[bool, str]:
    """Whether a model comes through a target as it has to, and what is to be said of it."""
    chosen = choose(target)
    # MindSpore's and atc's compilers take profiles; where batch and size vary, the former a model each.
    profiles = [parse(size) for size in SIZES[model.stem]]
    try:
        prepared = prepare(model, chosen, profiles, folder)
    except SurgeryError as error:
        return False, f"prepare: {error}"
    if prepared.folder is None:
        if prepared.report is not None:
            return False, f"prepare: {prepared.report.verdict}"
        found = sorted({f"{finding.operator} ({finding.rule})" for finding in prepared.plan.blocking})
        return target == "ncnn", f"refused beforehand: {', '.join(found)}"
    passes = f" [{', '.join(text.partition(':')[0] for text in prepared.plan.passes)}]" if prepared.plan.passes else ""
    if not chosen.target.packages:
        return True, f"prepared{passes}"
    try:
        done = compile(folder)
    except Missing as error:
        return True, f"prepared, not compiled: {error.what}{passes}"
    if done.verdict == "equal" or done.outputs:
        shares = [one.share for _, one in done.outputs if one.share is not None]
        worst = f"{max(shares):.1e}" if shares else "?"
        return done.ok, f"{done.verdict} {worst}, {len(done.outputs)} outputs {done.why}{passes}"
    return False, f"{done.verdict}: {done.why}{passes}"


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
                met, said = measured(Path(arguments.models) / f"{name}.onnx", target, Path(folder) / name)
                failed += not met
                seconds = time.perf_counter() - start
                print(f"{name:12} {target:14} {'ok' if met else 'NOT':3} {seconds:5.0f} s  {said}", flush=True)
    figures.amount("models that did not come through", failed, 0, "")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
