"""``surgery apply --pass gridsample``, verified, against ``onnxslim``, which verifies nothing.

    python -m benchmarks.apply [--runs N] [--models DIR] [NAME ...]

On the real models of --models, or of the folder that SURGERY_MODELS names.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks._measure import MEGA, Figures, in_turn, peak, seconds, surgery, tool

NAMES = ("rare", "rare_1x", "starnet", "aster")
MOST_TIME, MOST_MEMORY = 0.5, 0.6  # of onnxslim's


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--models", type=Path, default=os.environ.get("SURGERY_MODELS"))
    arguments = parser.parse_args()
    slim = tool("onnxslim")
    if arguments.models is None or slim is None:
        missing = "onnxslim is not installed" if slim is None else "neither --models nor SURGERY_MODELS is given"
        print(f"apply: not measured, for {missing}")
        return 0
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            model = str(arguments.models / f"{name}.onnx")
            ours = [*surgery(), "apply", model, "--pass", "gridsample", "-o", f"{folder}/ours.onnx"]
            costs = in_turn({"ours": ours, "slim": [slim, model, f"{folder}/slim.onnx"]}, arguments.runs)
            mine, peer = costs["ours"], costs["slim"]
            figures.ratio(f"{name}, time", seconds(mine), seconds(peer), MOST_TIME, "s")
            figures.ratio(f"{name}, peak memory", peak(mine) / MEGA, peak(peer) / MEGA, MOST_MEMORY, "MB")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
