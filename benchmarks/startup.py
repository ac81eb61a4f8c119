"""How long surgery takes to begin: ``--help``, ``list`` and ``show`` against ``python -c pass``.

And how long ``check`` takes on a real model, of the folder SURGERY_MODELS, against the import of onnx_ir.

python -m benchmarks.startup [--runs N]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks._measure import Figures, in_turn, seconds, surgery

MOST = 8  # times as long as the bare interpreter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    verbs = {
        "--help": ["--help"],
        "list": ["list"],
        "show gridsample": ["show", "gridsample"],
        "show atc": ["show", "atc"],
    }
    bare = {"python -c pass": [sys.executable, "-c", "pass"]}
    costs = in_turn(bare | {name: [*surgery(), *verb] for name, verb in verbs.items()}, runs)
    figures = Figures()
    for name in verbs:
        ours, peer = seconds(costs[name]), seconds(costs["python -c pass"])
        figures.ratio(f"surgery {name}", ours * 1000, peer * 1000, MOST, "ms")
    model = Path(os.environ.get("SURGERY_MODELS", "")) / "ppocrv4_rec.onnx"
    if model.is_file():
        # The status is 1 where there are findings, which are no failure here.
        code = "import sys; from surgery.cli import main; main(sys.argv[1:])"
        check = [sys.executable, "-c", code, "check", str(model), "--target", "atc"]
        checked = in_turn({"import": [sys.executable, "-c", "import onnx_ir"], "check": check}, runs)
        ours, peer = seconds(checked["check"]), seconds(checked["import"])
        figures.ratio("surgery check ppocrv4_rec", ours * 1000, peer * 1000, 3, "ms")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
