"""What patching costs: to enter and leave the context with every rewriter, and an export within it.

python -m benchmarks.export_context [--runs N]

On a PANet of mmocr, in the environment of ``make mmdeploy``. CPU time of this process; medians. Our context is
entered for TensorRT, with the rewriters named that are in force only then; mmdeploy's beside it is its
RewriterContext with the rewriters that it has for mmocr, repaired so that it can be left. The export is
torch.onnx.export of one module, with and without what the registry puts in force.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median

from benchmarks._measure import Figures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    warnings.simplefilter("ignore")
    import surgery

    try:
        from fixtures import _mmocr as nets  # which makes the repairs that mmocr needs

        module, x, dynamic = nets.example("panet")
        from mmdeploy.core import RewriterContext
    except (ImportError, surgery.Missing) as error:
        print(error, "It runs in the environment that `make mmdeploy` makes.", sep="\n", file=sys.stderr)
        return 4
    import mmdeploy.codebase.mmocr.models  # noqa: F401 - registers its rewriters
    import torch

    from rewrites import _openmmlab

    _openmmlab.repair(_openmmlab.ALL)
    logging.disable(logging.WARNING)  # mmdeploy's, of what it does not find

    def enter() -> None:
        named = ("upsample-mode", "panet-fp16")
        # What was named has nothing to do here, which leaving says.
        with (
            contextlib.suppress(surgery.Refused),
            surgery.patched(*named, backend="tensorrt", opset=11, exporter="torchscript", module=module),
        ):
            pass

    def enter_theirs() -> None:
        with RewriterContext(nets.deploy("panet", plugin=False), backend="onnxruntime", opset=11):
            pass

    def export() -> None:
        with torch.no_grad():
            settings = {"opset_version": 11, "input_names": ["input"], "dynamic_axes": dynamic}
            torch.onnx.export(module, (x,), io.BytesIO(), dynamo=False, **settings)

    def export_patched() -> None:
        with surgery.patched(opset=11, exporter="torchscript", module=module):
            export()

    def spent(work: Callable[[], None]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    for work in (enter, enter_theirs, export, export_patched):
        work()
    ours = median(spent(enter) for _ in range(runs))
    pairs = [(spent(export_patched), spent(export)) for _ in range(runs)]
    figures = Figures()
    figures.amount("enter and leave", ours, 0.3, "s")
    figures.ratio("enter and leave / mmdeploy's", ours, median(spent(enter_theirs) for _ in range(runs)), 1.0, "s")
    figures.ratio(
        "export of PANet / without patching", median(p[0] for p in pairs), median(p[1] for p in pairs), 1.2, "s"
    )
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
