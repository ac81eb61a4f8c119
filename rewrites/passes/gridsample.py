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
openvinotoolkit/openvino #37770). On ONNX Runtime what is written takes a tenth to a half of the operator's time,
cubic about all of it; where bilinear, zeros and align_corners=0 meet, 1.25 got a fast path, and this takes twice it.

Numbers: positions are computed in the operator's own order of operations, in float32 at least, so that they round
as its own do (found: 1e-6 from ONNX Runtime for X of scale 1, nearest pixels the same); only weights are cast to the
dtype of X. A tap outside the image has weight 0 and reads the nearest pixel inside, so X must be finite (0 times
infinity is NaN). Border and reflection hold while positions are below 2^24, which float32 tells apart: for any grid
within ±1000. A value of the grid that is not finite, or 5e18 and more, counts as -1, as in ONNX Runtime 1.31 (torch:
NaN, or the nearest pixel). Nearest takes the even pixel on ties. Nearest, reflection and align_corners=0 together
reflect, then round, as torch does; ONNX Runtime rounds first, so on exact ties the two take different pixels.

Refuses: nothing. It leaves as they are, and says why: cubic in 5-D, which no framework has; modes by names that the
operator lacks at this opset; other dtypes; an empty image; more pixels than ``indices`` can number. Below opset 14, a
grid of dynamic size must not have 0 points.
"""

import math
from functools import partial, reduce
from typing import Literal, NamedTuple

import numpy as np

from surgery import Close, Pass

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")
# From here on ONNX Runtime takes a value of the grid for not finite.
FAR = 5e18
# float32 has every whole number up to here, so no axis may be longer.
LONGEST = 1 << 24
# To gather a row of channels costs as much as to gather some twelve single elements (ONNX Runtime 1.31, CPU).
CHANNELS_FOR_ROWS = 12
# The kernel of bicubic interpolation, A = -0.75, as polynomials of the distance: within a pixel, and within two.
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
    domain = {"X": (-1e30, 1e30), "grid": (-1000.0, 1000.0)}
    indices: Literal["int32", "int64"] = "int32"  # what pixels are numbered in; several NPUs lack int64

    def rewrite(self, op, node):
        how = read(node, op.opset)
        if isinstance(how, str):
            return op.skip(how)
        why = obstacle(node, how, op.opset, np.iinfo(self.indices).max)
        return op.skip(why) if why else Sampler(op, node, how, np.dtype(self.indices)).result()


class Sampling(NamedTuple):
    """What a node asks for, whatever its spelling."""

    rank: int
    mode: str
    padding: str
    align_corners: bool
    # BEVFormer's plugins take the grid as [N, D, *out], and -10 to 10 for what is -1 to 1 elsewhere.
    bevformer: bool


def read(node, opset: int) -> Sampling | str:
    """What the node asks for; or why that can't be told."""
    if len(node.inputs) != 2 or None in node.inputs:
        return "it does not have the two inputs X and grid"
    shapes = (*(value.shape for value in node.inputs), node.shape)
    rank = next((len(shape) for shape in shapes if shape is not None), 0)
    names = ["interpolation_mode", "padding_mode", "align_corners"]
    modes: tuple[str | int, ...] = (0, 1, 2)
    paddings: tuple[str | int, ...] = (0, 1, 2)
    if node.op_type == "GridSample":
        names[0] = "mode"
        modes = MODES if node.domain == "" and opset >= 20 else ("bilinear", "nearest", "bicubic")
        paddings = PADDINGS
    elif node.op_type == "GridSampler":
        names = [name.replace("_", "") for name in names]
    mode, padding, align_corners = map(node.attr, names, (modes[0], paddings[0], 0))
    if mode not in modes or padding not in paddings:
        return f"{node.op_type} has no {names[0]} {mode!r} with {names[1]} {padding!r} at opset {opset}"
    known = MODES[modes.index(mode)], PADDINGS[paddings.index(padding)], bool(align_corners)
    return Sampling(rank, *known, bevformer="TRT" in node.op_type)


def obstacle(node, how: Sampling, opset: int, largest: int) -> str:
    """Why the node can't be lowered; empty if it can. `largest` is the last number that a pixel can have."""
    name = node.inputs[0].name
    if opset < 11:
        return "opset 11 is the first to have what it takes"
    if how.rank not in (4, 5):
        return f"the rank is {how.rank or 'unknown'}, where 4 and 5 are supported"
    if how.mode == "cubic" and how.rank == 5:
        return "cubic is for 4-D alone"
    for value in node.inputs:
        if str(value.dtype) not in ("float16", "float32", "float64"):
            return (
                f"the dtype of {value.name!r} is {value.dtype or 'unknown'}; float16, float32 and float64 are supported"
            )
    of_image, of_grid = (value.shape or (None,) * how.rank for value in node.inputs)
    alike = {(of_image[0], of_grid[0]), (how.rank - 2, of_grid[1 if how.bevformer else -1])}
    if len(of_image) != len(of_grid) or any(a != b for a, b in alike if isinstance(a, int) and isinstance(b, int)):
        return f"X {of_image} and grid {of_grid} do not fit each other"
    batch, _, *size = (dim if isinstance(dim, int) else 1 for dim in of_image)
    if min(size) < 1 or max(size) > LONGEST:
        return f"{name!r} of shape {of_image} can't be sampled"
    if batch * math.prod(size) > largest:
        return f"{name!r} has more pixels than int32 can number; take indices=int64"
    return ""


class Sampler:
    """Writes one sampling.

    Points are [N, D, P]: D coordinates, x first, of P points. What belongs to the axes is [D, 1], to stand beside
    them: the image's `size`, its `last` positions, and the `steps` by which the numbers of its pixels grow.
    """

    def __init__(self, op, node, how: Sampling, indices: np.dtype) -> None:
        self.op, self.how, self.indices = op, how, indices
        self.image, self.grid = node.inputs
        self.axes = how.rank - 2
        self.dims, places = Dims(op, self.image, how.rank), Dims(op, self.grid, how.rank)
        self.out = places[2:] if how.bevformer else places[1:-1]
        # In float16 a position is off by a third of a pixel once an image is 448 wide.
        self.dtype = np.result_type(np.float32, self.image.dtype, self.grid.dtype)

        size = self.dims[2:]
        self.size = op.Cast(op.Unsqueeze(op.Gather(size, np.arange(self.axes)[::-1]), [1]), to=self.dtype)
        self.last = op.Sub(self.size, 1.0)
        # Where an axis may have a single pixel, there may be no second one to step to.
        self.thin = not isinstance(size, np.ndarray) or bool((size == 1).any())
        *steps, self.pixels = (product(op, self.dims[how.rank - a :]) for a in range(self.axes + 1))
        self.steps = op.Cast(op.Unsqueeze(join(op, *steps), [1]), to=indices)

    def result(self):
        """The sampled image, [N, C, *out]."""
        op, rank, (batch, channels) = self.op, self.how.rank, self.dims.known[:2]
        if isinstance(self.out, np.ndarray) and not self.out.all():  # no points, so there is nothing to sample
            return op.Expand(np.zeros([1] * rank, self.image.dtype), join(op, self.dims[:2], self.out))
        table = reshape(op, self.image, 2, self.pixels)
        by_rows = not isinstance(channels, int) or channels >= CHANNELS_FOR_ROWS
        if by_rows:  # a pixel is a row [C] of the table, where the images of the batch follow each other
            table = op.Flatten(op.Transpose(table, perm=[0, 2, 1]), axis=2)
            limit = op.Mul(self.dims[:1], self.pixels)
            firsts = op.Range(0, op.Squeeze(limit, [0]), op.Squeeze(self.pixels, [0]))
            start = None if batch == 1 else op.Cast(op.Unsqueeze(firsts, [1, 2]), to=self.indices)
        else:  # the same pixel of every channel, element by element
            start = np.zeros([channels, 1], self.indices)

        total = None
        for number, weight in self.corners(start, by_rows):
            pixel = op.Gather(table, number) if by_rows else op.GatherElements(table, number, axis=2)
            if weight is not None and self.image.dtype != self.dtype:
                weight = op.Cast(weight, to=self.image.dtype)
            total = both(op.Add, total, both(op.Mul, pixel, weight))
        if not by_rows:
            return reshape(op, total, 2, self.out)
        # In this order ONNX Runtime leaves the two transposes where they are cheapest.
        total = reshape(op, total, 1, join(op, self.out, self.dims[1:2]))
        return op.Transpose(total, perm=[0, rank - 1, *range(1, rank - 1)])

    def positions(self):
        """Where the points are in the image, in pixels, [N, D, P]."""
        op, axes, points = self.op, np.array([self.axes]), product(self.op, self.out)
        grid = self.grid if self.grid.dtype == self.dtype else op.Cast(self.grid, to=self.dtype)
        if self.how.bevformer:
            grid = op.Div(reshape(op, grid, 1, join(op, axes, points)), 10.0)
        else:
            grid = op.Transpose(reshape(op, grid, 1, join(op, points, axes)), perm=[0, 2, 1])
        grid = op.Where(op.Less(op.Abs(grid), FAR), grid, -1.0)  # comparing with NaN is false
        # To halve a factor is exact, so this rounds as ((g + 1) * size - 1) / 2 does.
        grid = op.Add(grid, 1.0)
        if self.how.align_corners:
            return op.Mul(grid, op.Mul(self.last, 0.5))
        return op.Sub(op.Mul(grid, op.Mul(self.size, 0.5)), 0.5)

    # Every mode gives the position of a first tap, and for each tap its offset from there and its weight, on every
    # axis by itself. None stands for 0, and for weight 1.

    def nearest(self, x):
        """One tap."""
        op = self.op
        if self.how.padding != "zeros":
            return op.Round(self.inside(x)), [(None, None)]
        rounded = op.Round(x)
        near = self.clamp(rounded)
        return near, [(None, op.Cast(op.Equal(rounded, near), to=self.dtype))]

    def linear(self, x):
        """Two taps on each axis."""
        op = self.op
        if self.how.padding != "zeros":
            x = self.inside(x)
        # Two neighbours, both inside. Where x is beyond them, its distance makes weights 0: padding with zeros.
        first = op.Relu(op.Min(op.Floor(x), op.Sub(self.last, 1.0)))
        away = op.Sub(x, first)
        step = op.Min(self.last, 1.0)
        if self.how.padding != "zeros":
            return first, [(None, op.Sub(1.0, away)), (step, away)]
        weights = [op.Relu(op.Sub(1.0, op.Abs(distance))) for distance in (away, op.Sub(away, 1.0))]
        if self.thin:
            weights[1] = op.Mul(weights[1], step)
        return first, [(None, weights[0]), (step, weights[1])]

    def cubic(self, x):
        """Four taps on each axis, of which each is padded for itself."""
        op = self.op
        floor = op.Floor(x)
        away = op.Sub(x, floor)
        taps = []
        for tap, kernel in ((-1.0, CUBIC_FAR), (0.0, CUBIC_NEAR), (1.0, CUBIC_NEAR), (2.0, CUBIC_FAR)):
            distance = op.Abs(op.Sub(away, tap))
            weight = reduce(lambda sum, c: op.Add(op.Mul(sum, distance), c), kernel[1:], kernel[0])
            position = op.Add(floor, tap)
            inside = self.inside(position)
            if self.how.padding == "zeros":
                weight = op.Mul(weight, op.Cast(op.Equal(position, inside), to=self.dtype))
            taps.append((inside, weight))
        return None, taps

    def inside(self, x):
        """The positions that the padding puts in the place of those outside."""
        if self.how.padding == "reflection":
            x = self.reflect(x)
        return self.clamp(x)

    def clamp(self, x):
        """The nearest positions inside."""
        return self.op.Min(self.op.Relu(x), self.last)

    def reflect(self, x):
        """Back and forth between the edges: the middle of the outermost pixels, or their outer border."""
        op = self.op
        edge, span = (0.0, op.Max(self.last, 1.0)) if self.how.align_corners else (-0.5, self.size)
        far = op.Abs(op.Sub(x, edge))
        turns = op.Floor(op.Div(far, span))
        rest = op.Sub(far, op.Mul(turns, span))
        odd = op.Sub(turns, op.Mul(op.Floor(op.Mul(turns, 0.5)), 2.0))
        return op.Add(op.Add(rest, op.Mul(odd, op.Sub(span, op.Mul(rest, 2.0)))), edge)

    def corners(self, start, by_rows: bool):
        """Every pixel that counts for a point: its number [N, 1, P], on top of `start`, and its weight.

        That is, for every choice of a tap on each axis, the sum of their numbers and the product of their weights.
        """
        op = self.op
        base, taps = getattr(self, self.how.mode)(self.positions())
        found = [(reduce(partial(both, op.Add), (*self.numbers(base), start)), None)]
        columns = [(self.numbers(offset), self.factors(weight, by_rows)) for offset, weight in taps]
        for axis in range(self.axes):
            found = [
                (both(op.Add, number, offsets[axis]), both(op.Mul, weight, factors[axis]))
                for number, weight in found
                for offsets, factors in columns
            ]
        return found

    def numbers(self, positions):
        """What positions add to the number of a pixel, for each axis.

        They are cast first, since a number can be too large for float32, and for a compiler's float16 much sooner.
        """
        if positions is None:
            return [None] * self.axes
        whole = self.op.Mul(self.op.Cast(positions, to=self.indices), self.steps)
        return self.op.Split(whole, [1] * self.axes, axis=-2)

    def factors(self, weights, by_rows: bool):
        """The weights for each axis, as the pixels lie."""
        if weights is None:
            return [None] * self.axes
        return self.op.Split(self.op.Unsqueeze(weights, [3]) if by_rows else weights, [1] * self.axes, axis=1)


class Dims:
    """The dims of a tensor: ``dims[1:3]`` is an array if they are known, else computed when the model runs."""

    def __init__(self, op, value, rank: int) -> None:
        self.op, self.value = op, value
        self.known = value.shape or (None,) * rank
        self.shape = None

    def __getitem__(self, part: slice):
        dims = self.known[part]
        if all(isinstance(dim, int) for dim in dims):
            return np.array(dims, np.int64)
        if self.shape is None:
            self.shape = self.op.Shape(self.value)
        start, stop, _ = part.indices(len(self.known))
        return self.op.Slice(self.shape, [start], [stop], [0])


def join(op, *dims):
    """Dims one after the other."""
    return np.concatenate(dims) if all(isinstance(d, np.ndarray) for d in dims) else op.Concat(*dims, axis=0)


def product(op, dims):
    """The product of dims, [1]."""
    return dims.prod(keepdims=True) if isinstance(dims, np.ndarray) else op.ReduceProd(dims, [0], keepdims=1)


def reshape(op, value, kept: int, dims):
    """Put `dims` in the place of all dims but the first `kept`; the tensor may be empty."""
    if isinstance(dims, np.ndarray) and dims.all():
        return op.Reshape(value, np.append(np.zeros(kept, np.int64), dims))  # 0 keeps a dim as it is
    whole = op.Concat(op.Slice(op.Shape(value), [0], [kept], [0]), dims, axis=0)
    return op.Reshape(value, whole, allowzero=1) if op.opset >= 14 else op.Reshape(value, whole)


def both(join, a, b):
    """Two operands joined, or the one of them that is not None."""
    return b if a is None else a if b is None else join(a, b)
