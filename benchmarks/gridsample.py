"""GridSample as the pass `gridsample` writes it, against ONNX Runtime's own kernel.

python -m benchmarks.gridsample [--seconds S]

Both run in one process and on one thread, with the runtime's default optimisation, in turn: first one, then the
other, for S seconds. The time of a run is the CPU time of the thread; of all runs the median counts. The grid is
uniform on [-1.5, 1.5]; the error is the largest difference between the two results, for X of the normal distribution.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from statistics import median

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from benchmarks._measure import Figures
from rewrites.passes.gridsample import GridSample
from surgery.passes import run_pass

# X and the extent of the grid.
SHAPES = (
    ((1, 64, 32, 100), (32, 100)),
    ((1, 3, 32, 100), (32, 100)),
    ((4, 256, 64, 64), (64, 64)),
    ((1, 3, 256, 448), (256, 448)),
    ((8, 32, 80, 80), (300, 4)),
)
# The kernel takes nearest pixels here in 65 us, in which the runtime starts some fifty nodes; the pass writes 24.
SMALLEST = SHAPES[1]
VOLUME = ((1, 16, 16, 32, 32), (16, 32, 32))
Shape = tuple[tuple[int, ...], tuple[int, ...]]


def sampler(shape: Shape, mode: str, padding: str, align: int) -> onnx.ModelProto:
    """A model of one GridSample."""
    x, out = shape
    grid = [x[0], *out, len(out)]
    attributes = f'mode = "{mode}", padding_mode = "{padding}", align_corners = {align}'
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 20]>
        g (float{list(x)} X, float{grid} grid) => (float{[*x[:2], *out]} y)
        {{ y = GridSample<{attributes}>(X, grid) }}
    """)


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    """The model, ready to run on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def compare(shape: Shape, mode: str, padding: str, align: int, seconds: float) -> tuple[float, float, float]:
    """The time of what the pass writes and that of the kernel, in ms, and the error."""
    before = sampler(shape, mode, padding, align)
    after, report = run_pass(ir.from_proto(before), GridSample())
    assert report.places == 1
    sessions = [session(ir.to_proto(after)), session(before)]
    rng = np.random.default_rng(0)
    x, out = shape
    feeds = {
        "X": rng.standard_normal(x, np.float32),
        "grid": rng.uniform(-1.5, 1.5, (x[0], *out, len(out))).astype(np.float32),
    }
    ours, theirs = (one.run(None, feeds)[0] for one in sessions)
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 7:
        for one, spent in zip(sessions, times, strict=True):
            start = time.thread_time()
            one.run(None, feeds)
            spent.append(time.thread_time() - start)
    return median(times[0]) * 1000, median(times[1]) * 1000, float(np.abs(ours - theirs).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    seconds = parser.parse_args().seconds
    figures = Figures()

    def report(shape: Shape, mode: str, padding: str, align: int, most: float) -> float:
        ours, peer, error = compare(shape, mode, padding, align, seconds)
        name = f"{'x'.join(map(str, shape[0]))} to {'x'.join(map(str, shape[1]))}"
        figures.ratio(name, ours, peer, most, "ms")
        figures.amount("    max abs error", error * 1e6, 200 if shape[0][-1] == 448 else 50, "1e-6")
        return ours / peer

    print("bilinear, zeros, align_corners=1")
    ratios = [report(shape, "linear", "zeros", 1, 0.7) for shape in SHAPES]
    figures.amount("geometric mean", math.prod(ratios) ** (1 / len(ratios)), 0.45, "")
    print("bilinear, zeros, align_corners=0: the runtime's fast path")
    for shape in SHAPES:
        report(shape, "linear", "zeros", 0, 2.5 if shape[0][1] <= 64 else 3.5)
    for mode, padding in (("linear", "border"), ("linear", "reflection"), ("nearest", "zeros"), ("nearest", "border")):
        print(f"{mode}, {padding}, align_corners=0")
        for shape in SHAPES:
            report(shape, mode, padding, 0, 0.55 if (mode, shape) == ("nearest", SMALLEST) else 0.5)
    for mode in ("linear", "nearest"):
        print(f"5-D, {mode}, zeros, align_corners=0")
        report(VOLUME, mode, "zeros", 0, 0.5)
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
