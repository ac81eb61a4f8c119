"""Every model of mmocr by every route to ONNX: does it export, how large is it, how far is it off?

python -m benchmarks.export_table docs/mmocr.md [--models dbnet_r18,crnn] [--routes dynamo] [--seconds S]

Runs in the environment of ``make mmdeploy``. Each cell is a process of its own with S seconds; what does
not export stands with its cause. Weights are drawn (seed 0), statistics of norms, too. The errors are the
largest absolute differences between ONNX Runtime and torch: at the size traced, at another, and with a
batch of 2 where the export had 1. NRTR and SATRN decode two characters. Rows of other models, and of routes without
the words of ``--routes`` in their names, stay in the page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from surgery.errors import SurgeryError

MARK = "<!-- the table is written by benchmarks/export_table.py -->"
HEAD = ["| model | route | nodes | static | dynamic | batch | cause |", "|---|---|--:|--:|--:|--:|---|"]
MODELS = ("dbnet_r18", "dbnet_r50", "dbnetpp", "psenet", "panet", "crnn", "aster", "abinet", "sar", "nrtr", "satrn")
ROUTES = {
    "surgery, TorchScript, opset 11": ("torchscript", 11),
    "surgery, TorchScript, opset 17": ("torchscript", 17),
    "surgery, dynamo, opset 11": ("dynamo", 11),
    "surgery, dynamo, opset 17": ("dynamo", 17),
    "surgery, dynamo, opset 18": ("dynamo", 18),
    "mmdeploy 1.3.1 as it is": ("stock", 11),
    "mmdeploy, repaired": ("repaired", 11),
    "mmdeploy, with the plugin": ("plugin", 11),
}


def cell(model: str, route: str) -> dict[str, Any]:
    """One cell, in this process."""
    how, opset = ROUTES[route]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if how == "stock":
            os.environ["SURGERY_REPAIRS"] = ""
            import mmocr.models  # noqa: F401
            from mmdeploy.apis import torch2onnx  # noqa: F401 - fails before anything of ours could help
        if how == "plugin":
            import rewrites.mmdeploy  # noqa: F401
        if how == "repaired":
            import functools

            from rewrites import _openmmlab

            _openmmlab.repair(_openmmlab.ALL)
            import torch

            torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
        import torch

        from fixtures import _mmocr as nets

        if how in ("stock", "repaired", "plugin"):
            path, module = nets.by_mmdeploy(folder, model, plugin=how == "plugin")
        else:
            import surgery

            module, x, dynamic = nets.example(model)
            path = folder / "m.onnx"
            done = surgery.export(module, x, path, dynamic=dynamic, exporter=how, opset=opset, verify=False)
            assert done.ok
        return _measure(nets, model, module, path)


def _measure(nets: Any, model: str, module: Any, path: Path) -> dict[str, Any]:
    import numpy as np
    import onnx
    import onnxruntime as ort
    import torch

    options = ort.SessionOptions()
    options.log_severity_level = 4
    found: dict[str, Any] = {"nodes": len(onnx.load(path, load_external_data=False).graph.node)}
    try:
        session = ort.InferenceSession(str(path), options)
    except Exception as error:  # the runtime's own kinds
        return found | {"cause": f"ONNX Runtime: {error}".replace(str(path), path.name)}
    height, width = nets.RECOGNISERS.get(model, (96, 128))
    other = (height, width + 64) if model in nets.RECOGNISERS else (height + 64, width + 96)
    sizes = {"static": (1, height, width), "dynamic": (1, *other), "batch": (2, height, width)}
    if model == "abinet":  # takes one width
        del sizes["dynamic"]
    for name, size in sizes.items():
        x = nets.image(model, *size)
        with torch.no_grad():
            truth = module(x).numpy()
        try:
            result = session.run(None, {"input": x.numpy()})[0]
            found[name] = float(np.abs(result - truth).max()) if result.shape == truth.shape else str(result.shape)
        except Exception as error:  # the runtime's own kinds
            found[name] = "fails"
            found["cause"] = f"{name}: {error}"
    return found


def child(model: str, route: str, seconds: float) -> dict[str, Any]:
    """One cell, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.export_table", "--cell", model, route]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"cause": f"not finished in {seconds:g} s"}
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"cause": lines[-1] if lines else f"exit status {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def line(model: str, route: str, found: dict[str, Any]) -> str:
    """One row of the table."""
    errors = [found.get(name, "-") for name in ("static", "dynamic", "batch")]
    shown = [f"{e:.1e}" if isinstance(e, float) else str(e) for e in errors]
    cause = " ".join(str(found.get("cause", "")).split())[:160].replace("|", "\\|").replace("<", "&lt;")
    return f"| {model} | {route} | {found.get('nodes', '-')} | {' | '.join(shown)} | {cause} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", nargs="?", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--routes", default="", help="those with these words in their names")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        try:
            found = cell(*arguments.cell)
        except SurgeryError as error:
            found = {"cause": error.what}
        print(json.dumps(found))
        return 0
    for model in arguments.models.split(","):
        rows = []
        for route in (name for name in ROUTES if arguments.routes in name):
            start = time.perf_counter()
            rows.append(line(model, route, child(model, route, arguments.seconds)))
            print(rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
        if arguments.page is not None:
            write(arguments.page, rows)
    return 0


def _key(row: str) -> tuple[str, ...]:
    """Model and route of a row."""
    return tuple(cell.strip() for cell in row.split("|")[1:3])


def write(page: Path, rows: list[str]) -> None:
    """Put rows into a page, in place of those that it has of the same model and route."""
    before, _, table = page.read_text(encoding="utf-8").partition(MARK)
    held = {_key(row): row for row in table.splitlines() if row.startswith("| ") and row != HEAD[0]}
    held.update((_key(row), row) for row in rows)
    order = [(model, route) for model in MODELS for route in ROUTES]
    body = [held[key] for key in order if key in held]
    page.write_text("\n".join([f"{before}{MARK}\n", *HEAD, *body]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
