"""``surgery apply --pass cleanup`` against its engine alone, followed by ``surgery verify``.

    python -m benchmarks.cleanup [--engine NAME] [--runs N] [--models DIR] [NAME ...]

On every model of --models, or of the folder that SURGERY_MODELS names. Both sides compare the models and not the
places, for `verify` knows of none. Besides time: no larger file than there was, for which some nodes may stay that
the engine alone folds. What the engine fails on is told and left
out; what no runtime loads is compared without verification on both sides.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._measure import MEGA, Figures, in_turn, seconds, surgery

MOST_TIME, MOST_NODES = 1.3, 1.2
_ALONE = {
    "onnxslim": "import onnxslim; onnxslim.slim(source, target)",
    "onnxsim": "import onnx, onnxsim; onnx.save(onnxsim.simplify(source)[0], target)",
    "graphsurgeon": "import onnx, onnx_graphsurgeon as gs; graph = gs.import_onnx(onnx.load(source)); "
    "onnx.save(gs.export_onnx(graph.fold_constants().cleanup().toposort()), target)",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--engine", choices=list(_ALONE), default="onnxslim")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--models", type=Path, default=os.environ.get("SURGERY_MODELS"))
    arguments = parser.parse_args()
    if arguments.models is None:
        print("cleanup: not measured, for neither --models nor SURGERY_MODELS is given")
        return 0
    folder_of_models = Path(arguments.models)
    figures = Figures()
    for name in arguments.names or sorted(path.stem for path in folder_of_models.glob("*.onnx")):
        with tempfile.TemporaryDirectory() as folder:
            _measure_one(figures, folder_of_models / f"{name}.onnx", Path(folder), arguments.engine, arguments.runs)
    return figures.status


def _measure_one(figures: Figures, model: Path, folder: Path, engine: str, runs: int) -> None:
    ours, theirs = folder / "ours.onnx", folder / "theirs.onnx"
    code = f"import sys; source, target = sys.argv[1:]; {_ALONE[engine]}"
    alone = [sys.executable, "-c", code, str(model), str(theirs)]
    if _fails(alone):
        print(f"{model.stem:34} {engine} alone fails on it", flush=True)
        return
    verify = [*surgery(), "verify", str(model), str(theirs)]
    unverified = _fails(verify)
    apply = [*surgery(), "apply", str(model), "--pass", f"cleanup:engine={engine}", "-o", str(ours)]
    commands = {"ours": [*apply, "--verify", "none" if unverified else "model"], "alone": alone}
    if not unverified:
        commands["verify"] = verify
    costs = in_turn(commands, runs)
    peer = sum(seconds(cost) for which, cost in costs.items() if which != "ours")
    what = f"{model.stem}{', not verified' if unverified else ''}"
    figures.ratio(f"{what}, time", seconds(costs["ours"]), peer, MOST_TIME, "s")
    figures.ratio(f"{what}, nodes", _nodes(ours), _nodes(theirs), MOST_NODES, "")
    figures.ratio(f"{what}, bytes", ours.stat().st_size / MEGA, model.stat().st_size / MEGA, 1.0, "MB")


def _fails(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode != 0


def _nodes(path: Path) -> float:
    import onnx

    return float(len(onnx.load(path, load_external_data=False).graph.node))


if __name__ == "__main__":
    sys.exit(main())
