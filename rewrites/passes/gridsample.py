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

import math
from functools import partial, reduce
from typing import Literal, NamedTuple

import numpy as np

from surgery import Close, Pass

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")
# From here on ONNX Runtime takes a value of the grid for not finite.
FAR = 5e18
FLOATS = tuple(map(np.dtype, ("float16", "float32", "float64")))
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
    domain = {"X": (-1e30, 1e30), "grid": (-6.0, 6.0)}
    indices: Literal["int32", "int64"] = "int32"  # what pixels are numbered in; several NPUs lack int64

    def rewrite(self, op, node):
        how = read(node, op.opset)
        why = how if isinstance(how, str) else obstacle(node, how, op.opset, np.iinfo(self.indices).max)
        return op.skip(why) if why else Sampler(op, node, how, np.dtype(self.indices)).result()


class Sampling(NamedTuple):
    """What a node asks for, whatever its spelling."""

    mode: str
    padding: str
    align_corners: bool
    # BEVFormer's plugins take the grid as [N, D, *out], and -10 to 10 for what is -1 to 1 elsewhere.
    bevformer: bool


def read(node, opset: int) -> Sampling | str:
    """What the node asks for; or why that can't be told."""
    if len(node.inputs) != 2 or None in node.inputs:
        return "it has not the two inputs X and grid"
    names = ["interpolation_mode", "padding_mode", "align_corners"]
    modes = paddings = (0, 1, 2)
    if node.op_type == "GridSample":
        names[0] = "mode"
        modes = MODES if node.domain == "" and opset >= 20 else ("bilinear", "nearest", "bicubic")
        paddings = PADDINGS
    elif node.op_type == "GridSampler":
        names = [name.replace("_", "") for name in names]
    mode, padding, align_corners = map(node.attr, names, (modes[0], paddings[0], 0))
    if mode not in modes or padding not in paddings:
        return f"{names[0]} {mode!r} with {names[1]} {padding!r} is not known to this operator at opset {opset}"
    return Sampling(
        MODES[modes.index(mode)],
        PADDINGS[paddings.index(padding)],
        bool(align_corners),
        bevformer="TRT" in node.op_type,
    )


def obstacle(node, how: Sampling, opset: int, largest: int) -> str:
    """Why the node can't be lowered; empty if it can. `largest` is the last number that a pixel can have."""
    image, grid = node.inputs
    rank = rank_of(node)
    if opset < 11:
        return "opset 11 is the first to have what it takes"
    if rank not in (4, 5):
        return f"the rank is {rank or 'unknown'}, where 4 and 5 are supported"
    if how.mode == "cubic" and rank == 5:
        return "cubic is for 4-D alone"
    for value in (image, grid):
        if value.dtype not in FLOATS:
            return f"the dtype of {value.name!r} is {value.dtype or 'unknown'}, not float16, float32 or float64"
    of_image, of_grid = (v.shape or (None,) * rank for v in (image, grid))
    expected = (of_image[0], *of_grid[1:-1], rank - 2)
    if how.bevformer:
        expected = (of_image[0], rank - 2, *of_grid[2:])
    if len(of_image) != rank or not agree(of_grid, expected):
        return f"X {of_image} and the grid {of_grid} do not fit each other"
    size = [dim for dim in of_image[2:] if isinstance(dim, int)]
    if 0 in size or max(size, default=1) > LONGEST:
        return f"an image of {size} pixels can't be sampled"
    batch = of_image[0] if isinstance(of_image[0], int) else 1
    if batch * math.prod(size) > largest:
        return "int32 can't number so many pixels; take indices=int64"
    return ""


def rank_of(node) -> int | None:
    """The rank that X, the grid and the result have in common."""
    return next((len(s) for s in (*(v.shape for v in node.inputs), node.shape) if s is not None), None)


def agree(dims, others) -> bool:
    """Whether two shapes can be one, as far as they are known."""
    pairs = zip(dims, others, strict=False)
    return len(dims) == len(others) and all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in pairs)


class Sampler:
    """Writes one sampling.

    Points are [N, D, P], D axes of P points, x first. What belongs to the axes is [D, 1], so that they stand beside
    each other: the image's `size`, its `last` position, and `steps`, from a pixel to the next in their numbers.
    """

    def __init__(self, op, node, how: Sampling, indices: np.dtype) -> None:
        self.op, self.how, self.indices = op, how, indices
        self.image, self.grid = node.inputs
        self.rank = rank_of(node)
        self.axes = self.rank - 2
        self.dims = Dims(op, self.image, self.rank)
        places = Dims(op, self.grid, self.rank)
        self.out = places[2:] if how.bevformer else places[1:-1]
        # Half precision would miss the pixel: in a row of 448 by up to 0.3.
        self.dtype = np.result_type(np.float32, self.image.dtype, self.grid.dtype)

        size = self.dims[2:]
        self.size = op.Cast(op.Unsqueeze(op.Gather(size, np.arange(self.axes)[::-1], axis=0), [1]), to=self.dtype)
        self.last = op.Sub(self.size, 1.0)
        # Where an axis may have a single pixel, it has no second one to step to.
        self.thin = not isinstance(size, np.ndarray) or bool((size == 1).any())
        *strides, self.pixels = (product(op, self.dims[self.rank - a :]) for a in range(self.axes + 1))
        self.steps = op.Cast(op.Unsqueeze(join(op, *strides), [1]), to=indices)

    def result(self):
        """The sampled image, [N, C, *out]."""
        op, (batch, channels) = self.op, self.dims.known[:2]
        if isinstance(self.out, np.ndarray) and not self.out.all():  # no points, so there is nothing to sample
            return op.Expand(np.zeros([1] * self.rank, self.image.dtype), join(op, self.dims[:2], self.out))
        base, taps = getattr(self, self.how.mode)(self.positions())
        table = reshape(op, self.image, 2, self.pixels)

        by_rows = not isinstance(channels, int) or channels >= CHANNELS_FOR_ROWS
        if by_rows:  # a pixel is a row [C] of the table; the rows of an image follow those of the one before
            table = op.Flatten(op.Transpose(table, perm=[0, 2, 1]), axis=2)
            limit = op.Mul(self.dims[:1], self.pixels)
            firsts = op.Range(0, op.Squeeze(limit, [0]), op.Squeeze(self.pixels, [0]))
            start = None if batch == 1 else op.Cast(op.Unsqueeze(firsts, [1, 2]), to=self.indices)
        else:  # every channel is indexed by itself
            start = np.zeros([channels, 1], self.indices)

        total = None
        for number, weight in self.corners(base, taps, start, by_rows):
            pixel = op.Gather(table, number, axis=0) if by_rows else op.GatherElements(table, number, axis=2)
            if weight is not None:
                pixel = op.Mul(pixel, weight if self.image.dtype == self.dtype else op.Cast(weight, to=self.image.dtype))
            total = pixel if total is None else op.Add(total, pixel)

        if not by_rows:
            return reshape(op, total, 2, self.out)
        # Reshape before Transpose: ONNX Runtime then leaves the transposes where they are cheapest.
        total = reshape(op, total, 1, join(op, self.out, self.dims[1:2]))
        return op.Transpose(total, perm=[0, self.rank - 1, *range(1, self.rank - 1)])

    def positions(self):
        """Where the points are in the image, in pixels, [N, D, P]."""
        op, axes, points = self.op, np.array([self.axes]), product(self.op, self.out)
        grid = self.grid if self.grid.dtype == self.dtype else op.Cast(self.grid, to=self.dtype)
        if self.how.bevformer:
            grid = reshape(op, op.Div(grid, 10.0), 1, join(op, axes, points))
        else:
            grid = op.Transpose(reshape(op, grid, 1, join(op, points, axes)), perm=[0, 2, 1])
        # A comparison with NaN is false.
        grid = op.Where(op.Less(op.Abs(grid), FAR), grid, -1.0)
        # Halving the factor is exact, so that this rounds as ((g + 1) * size - 1) / 2 does.
        grid = op.Add(grid, 1.0)
        if self.how.align_corners:
            return op.Mul(grid, op.Mul(self.last, 0.5))
        return op.Sub(op.Mul(grid, op.Mul(self.size, 0.5)), 0.5)

    # Each mode gives the position of a first tap, and for every tap its offset from there and its weight. None
    # stands for offset 0 and weight 1.

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
        # Two neighbours that are both inside: the weight of a tap outside is then nowhere to be found.
        first = op.Max(op.Min(op.Floor(x), op.Sub(self.last, 1.0)), 0.0)
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
        return self.op.Min(self.op.Max(x, 0.0), self.last)

    def reflect(self, x):
        """Back and forth between the edges: the middle of the outermost pixels, or their outer border."""
        op = self.op
        edge, span = (0.0, op.Max(self.last, 1.0)) if self.how.align_corners else (-0.5, self.size)
        far = op.Abs(op.Sub(x, edge))
        turns = op.Floor(op.Div(far, span))
        rest = op.Sub(far, op.Mul(turns, span))
        odd = op.Sub(turns, op.Mul(op.Floor(op.Mul(turns, 0.5)), 2.0))
        return op.Add(op.Add(rest, op.Mul(odd, op.Sub(span, op.Mul(rest, 2.0)))), edge)

    def corners(self, base, taps, start, by_rows: bool):
        """Every pixel that counts for a point: its number [N, 1, P], counted from `start`, and its weight."""
        op = self.op
        columns = [(self.numbers(offset), self.factors(weight, by_rows)) for offset, weight in taps]
        found = [(reduce(partial(both, op.Add), (*self.numbers(base), start)), None)]
        for axis in range(self.axes):
            found = [
                (both(op.Add, number, offsets[axis]), both(op.Mul, weight, factors[axis]))
                for number, weight in found
                for offsets, factors in columns
            ]
        return found

    def numbers(self, positions):
        """What positions on each axis add to the number of a pixel.

        Cast first: whole numbers may be large, or the compiler compute in half precision.
        """
        if positions is None:
            return [None] * self.axes
        whole = self.op.Mul(self.op.Cast(positions, to=self.indices), self.steps)
        return self.op.Split(whole, num_outputs=self.axes, axis=-2)

    def factors(self, weights, by_rows: bool):
        """What each axis multiplies into the weight of a pixel."""
        if weights is None:
            return [None] * self.axes
        return self.op.Split(self.op.Unsqueeze(weights, [3]) if by_rows else weights, num_outputs=self.axes, axis=1)


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
