"""What the tests of `gridsample-fuse` share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from rewrites.passes.gridsample_fuse import GridSampleFuse
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.report import PassReport


def fused(proto: onnx.ModelProto, **options: int) -> tuple[onnx.ModelProto, PassReport]:
    """The model after the pass, and what was done."""
    model, report = run_pass(from_proto(proto), GridSampleFuse(**options))
    return ir.to_proto(model), report


def runner(proto: onnx.ModelProto, optimised: bool = False) -> Callable[..., np.ndarray]:
    """A function that runs the model on arrays in the order of its inputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(*arrays: np.ndarray) -> np.ndarray:
        result: np.ndarray = session.run(None, dict(zip(names, arrays, strict=True)))[0]
        return result

    return run


def images_and_grids(seed: int, *sizes: int) -> tuple[np.ndarray, np.ndarray]:
    """An image [batch, channels, height, width] and a grid [batch, rows, columns, 2] that leaves [-1, 1]."""
    draw = np.random.default_rng(seed)
    image = draw.standard_normal(sizes[:4], np.float32)
    return image, draw.uniform(-2.5, 2.5, (sizes[0], *sizes[4:], 2)).astype(np.float32)
