"""Spell GridSample out in gathers and arithmetic, for compilers that lack the operator.

    X ────┐                   X ── Reshape ────────────────────────────┐
      GridSample ── y   =>    G ── positions in pixels ─┬─ numbers ── Gather, one per tap ─── Mul, Add ── y
    G ────┘                                             └─ weights ───────────────────────────┘

Every spelling is lowered: the standard operator, also in files of an opset that does not have it yet,
``com.microsoft::GridSample``, ``grid_sampler`` of mmcv and mmdeploy, and the TensorRT plugins ``GridSampler`` and
``GridSampler2DTRT`` to ``GridSampler3DTRT2``. All modes and paddings, 4-D and 5-D, any dim dynamic; float16,
float32 and float64. What is written is legal from opset 11 on. Of a constant grid, numbers and weights remain.

Why: RKNN before 2.4, ncnn, ATC below opset 16 and TensorRT before 8.5 lack GridSample; TensorRT, CANN and OpenVINO
have it for 4-D alone (airockchip/rknn-toolkit2 #276, Tencent/ncnn #5101, NVIDIA/TensorRT #2005 and #3890,
openvinotoolkit/openvino #37770). On ONNX Runtime what is written takes a tenth to a half of the operator's time;
but where bilinear, zeros and align_corners=0 meet, version 1.25 got a fast path, and this takes twice its time.

Numbers: positions are computed in the operator's own order of operations, in float32 at least, so that they round
as its own do; only weights are cast to the dtype of X. A tap outside the image has weight 0 and reads the nearest
pixel inside, so X must be finite (0 times infinity is NaN). Reflection loses accuracy with the distance from the
image; hence the promise for grids within ±6 only. A value of the grid that is not finite, or 5e18 and more, counts
as -1, as in ONNX Runtime 1.31 (torch: NaN, or the nearest pixel). Ties of mode nearest go to the even pixel; under
reflection, as in torch, after reflecting (in ONNX Runtime before: the two differ on exact ties).

Refuses: cubic in 5-D, which no framework has; names of modes that the operator lacks at this opset; other dtypes;
an empty image; more pixels than ``indices`` can number. Below opset 14, a model whose last grid dim (Wo) is dynamic
must not meet 0 there.
"""

from functools import reduce
from typing import Literal, NamedTuple

import numpy as np

from surgery import Close, Pass

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")
FLOATS = ("float16", "float32", "float64")
# From here on ONNX Runtime takes a value of the grid for not finite.
FAR = 5e18
# float32 tells whole numbers apart up to here: no axis may be longer.
LONGEST_AXIS = 1 << 24
# To gather a row of channels costs as much as to gather some twelve single elements (ONNX Runtime 1.31, CPU).
CHANNELS_FOR_ROWS = 12
# The kernel of bicubic interpolation, A = -0.75, as polynomials of the distance: up to one pixel, up to two.
CUBIC_NEAR = (1.25, -2.25, 0.0, 1.0)
CUBIC_FAR = (-0.75, 3.75, -6.0, 3.0)


class GridSample(Pass):
    operator = (
        "GridSample",
        "com.microsoft::GridSample",
        "mmcv::grid_sampler",
        "mmdeploy::grid_sampler",
        "GridSampler",
        "GridSampler2DTRT",
        "GridSampler2DTRT2",
        "GridSampler3DTRT",
        "GridSampler3DTRT2",
    )
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"X": (-1e30, 1e30), "grid": (-6.0, 6.0)}
    indices: Literal["int32", "int64"] = "int32"  # what pixels are numbered in; several NPUs lack int64

    def rewrite(self, op, node):
        how = read(node, op.opset)
        why = how if isinstance(how, str) else obstacle(op, node, how, np.iinfo(self.indices).max)
        if why:
            return op.skip(why)
        image, grid = node.inputs
        rank = rank_of(node)
        dims, out = Dims(op, image, rank), Dims(op, grid, rank)[how.points]
        if isinstance(out, np.ndarray) and not out.all():  # no points, so there is nothing to sample
            return op.Expand(np.zeros([1] * rank, image.dtype), join(op, dims[:2], out))

        axes = Axes(op, how, dims, rank - 2, precision(node), np.dtype(self.indices))
        base, taps = TAPS[how.mode](axes, axes.positions(points(op, how, grid, out, axes)))
        sample = rows if axes.channels is None or ... else elements
        return sample(op, image, ...)
