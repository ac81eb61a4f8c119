"""What it costs to have an export verified: by stage, and beside torch.onnx.export and the runs of the module.

python -m benchmarks.export_verified [--models dbnet_r18,panet] [--size 736x1184] [--static]
                                     [--exporter dynamo] [--opset N]

Models of mmocr at the size of a real image, in the environment of ``make mmdeploy``. A stage's seconds are those of
the clock; the ratio is of CPU time, of this process and its child. What no verification can do without is the peer:
torch.onnx.export of the same module, and one run of the module on each case that it is compared on.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._measure import Figures

MOST = 3.0  # times what it can't do without


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process and of its children that ended, and the result."""

    def now() -> float:
        usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    start = now()
    result = work()
    return now() - start, result


def plain(module: Any, x: Any, exporter: str, opset: int | None, dynamic: dict[str, Any]) -> None:
    """What a user without surgery would run."""
    import torch

    settings: dict[str, Any] = {"dynamo": False, "opset_version": opset or 17, "input_names": ["input"]}
    settings["dynamic_axes"] = dynamic
    if exporter == "dynamo":
        x = torch.cat([x, x])  # a batch of one is taken for a constant
        shapes = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in dynamic.values()) or None
        settings = {"dynamo": True, "opset_version": 18, "dynamic_shapes": shapes, "verbose": False}
    with torch.no_grad(), contextlib.redirect_stdout(None):
        torch.onnx.export(module, (x,), io.BytesIO(), **settings)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="dbnet_r18,panet")
    parser.add_argument("--size", default="736x1184")
    parser.add_argument("--exporter", choices=("torchscript", "dynamo"), default="torchscript")
    parser.add_argument("--opset", type=int)
    parser.add_argument("--static", action="store_true", help="no dim is dynamic")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    import surgery

    try:
        from fixtures import _mmocr as nets  # which makes the repairs that mmocr needs
        from rewrites import mmocr

        mmocr.build(nets.CONFIGS["crnn"])
    except (ImportError, surgery.Missing) as error:
        print(error, "It runs in the environment that `make mmdeploy` makes.", sep="\n", file=sys.stderr)
        return 4
    figures = Figures()
    height, width = map(int, arguments.size.split("x"))
    for name in arguments.models.split(","):
        module, _, dynamic = nets.example(name)
        settings = {
            "exporter": arguments.exporter,
            "opset": arguments.opset,
            "dynamic": {} if arguments.static else dynamic,
        }
        _one(figures, name, module, lambda *sizes, name=name: nets.image(name, *sizes), (1, height, width), settings)
    return figures.status


def _one(
    figures: Figures,
    name: str,
    module: Any,
    image: Callable[..., Any],
    sizes: tuple[int, int, int],
    settings: dict[str, Any],
) -> None:
    import torch

    import surgery

    x = image(*sizes)
    told: list[tuple[float, str]] = []

    def tell(text: str) -> None:
        told.append((time.perf_counter(), text))

    with tempfile.TemporaryDirectory() as folder:
        tell("starting")
        ours, done = spent(lambda: surgery.export(module, x, Path(folder, "m.onnx"), progress=tell, **settings))
        tell("")
    for (start, stage), (end, _) in itertools.pairwise(told):
        print(f"  {end - start:7.2f} s  {stage}")
    cases = [image(batch, *rest) for batch, _, *rest in (probe.shapes["input"] for probe in done.verify.probes)]
    print(f"  {told[-1][0] - told[0][0]:7.2f} s  in all: {done.verify.verdict}, {len(cases)} cases")

    def run() -> None:
        with torch.no_grad():
            for case in cases:
                module(case)

    runs, exported = spent(run)[0], spent(lambda: plain(module, x, **settings))[0]
    print(f"  {exported:7.2f} s  of CPU time: torch.onnx.export; {runs:.2f} s: the module on every case")
    figures.ratio(f"verified export of {name}", ours, exported + runs, MOST, "s")


if __name__ == "__main__":
    sys.exit(main())
