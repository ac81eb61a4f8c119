"""Resize by matrices, for compilers that have only some of its many modes.

    x ── Resize ── y       =>       x ── MatMul(rows, ·) ── MatMul(·, columns) ── y

Every mode of Resize is linear in the image and works on each axis by itself, so along an axis of fixed
length it is a constant matrix. The matrices are what ONNX Runtime makes of the identity matrix. Axes
before the last two, and images of more than four axes, are reached by a Reshape. What tf_crop_and_resize puts
outside the image is added.

Left as they are: what every compiler has (nearest at asymmetric and floor, linear at half_pixel,
pytorch_half_pixel and align_corners, of two axes and without antialias); ``all=true`` takes these, too.

Why: MNN 3.6.1 and ncnn compute cubic, antialias, exclude_outside, half_pixel_symmetric and several nearest
modes wrongly and say nothing; OpenVINO 2026.4.1 ignores antialias; TensorRT asserts modes.
Numbers: the sums are the same, of the zeros beside them too; their order differs. Infinities and NaN
spread along their row and column: the promise is for finite images.
Refuses: nothing. A place is left where lengths are not fixed, the sizes or scales not constant, or the image no float.
"""

import math

import numpy as np

from surgery import Close, Pass

PLAIN_LINEAR = ("half_pixel", "pytorch_half_pixel", "align_corners")
MODES = (
    *("mode", "coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a", "exclude_outside", "antialias"),
    "extrapolation_value",
)


class ResizeMatmul(Pass):
    operator = "Resize"
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"X": (-1e30, 1e30)}
    all: bool = False  # also what every compiler has

    def rewrite(self, op, node):
        x = node.inputs[0]
        how = {name: node.attr(name) for name in MODES if node.attr(name) is not None}
        steps = scaled(op, node, x)
        if isinstance(steps, str):
            return op.skip(steps)
        if not self.all and plain(how, steps, x):
            return op.skip("every compiler has this mode")
        outside, how["extrapolation_value"] = how.get("extrapolation_value", 0.0), 0.0
        y, dims = x, list(x.shape)
        inside = np.ones([1] * len(dims))
        for axis, (_, given) in steps.items():
            matrix = rows(op, how, dims[axis], given, x)
            if matrix is None:
                return op.skip("ONNX Runtime does not compute it")
            y = along(op, y, dims, axis, matrix.astype(x.dtype))
            if y is None:
                return op.skip(f"only axes behind {axis} can be free")
            dims[axis] = len(matrix)
            inside = inside * matrix.any(1).reshape([-1 if i == axis else 1 for i in range(len(dims))])
        lacking = (1 - inside) * outside
        return op.Add(y, lacking.astype(x.dtype)) if lacking.any() else y


def scaled(op, node, x):
    """For each axis that changes: its length after, and how Resize is told so; or why that is unknown."""
    if op.opset < 11:
        return "below opset 11 Resize knew one mode only"
    if x.shape is None or x.dtype is None or x.dtype.kind != "f":
        return f"{x.name!r} is no image of floats of known rank"
    rank = len(x.shape)
    axes = [axis % rank for axis in node.attr("axes") or range(rank)]
    roi, scales, sizes = (node.constant(i) for i in (1, 2, 3))
    crop = node.attr("coordinate_transformation_mode") == "tf_crop_and_resize"
    if crop and (roi is None or roi.size != 2 * len(axes)):
        return "the part of the image is not constant"
    policy = node.attr("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        return kept_aspect(policy, axes, sizes, x)
    told = scales if scales is not None and scales.size else sizes
    if told is None or told.size != len(axes):
        return "neither sizes nor scales are constant"
    steps = {}
    for i, axis in enumerate(axes):
        length, value = x.shape[axis], told[i]
        part = roi[[i, i + len(axes)]] if crop else None
        same = value == length or (axis < 2 and length is None) if told is sizes else value == 1.0
        if same:
            after = length
        elif not isinstance(length, int):
            return f"how long axis {axis} of {x.name!r} is, is unknown"
        else:
            after = int(value) if told is sizes else math.floor(length * np.float32(value))
        if after != length or (part is not None and tuple(part) != (0.0, 1.0)):
            steps[axis] = after, (("sizes" if told is sizes else "scales"), value, part)
    return steps or "it changes nothing"


def kept_aspect(policy, axes, sizes, x):
    """The same for rows and columns that share one scale."""
    lengths = [x.shape[axis] for axis in axes]
    if len(x.shape) != 4 or sorted(axes) != [2, 3] or sizes is None or not all(isinstance(n, int) for n in lengths):
        return "the scale follows from axes that are free, or others than rows and columns"
    scale = (min if policy == "not_larger" else max)(
        np.float32(s) / np.float32(n) for s, n in zip(sizes, lengths, strict=True)
    )
    told = dict(zip(axes, sizes.tolist(), strict=True))
    asked = [told[2], told[3], policy]
    return {axis: (math.floor(n * scale + 0.5), ("aspect", axis, asked)) for axis, n in zip(axes, lengths, strict=True)}


def plain(how, steps, x):
    """Whether every compiler has it."""
    if any(given[0] == "aspect" for _, given in steps.values()):
        return False
    if how.get("antialias") or how.get("exclude_outside") or min(steps) < len(x.shape) - 2 or len(x.shape) > 4:
        return False
    mode, where = how["mode"], how["coordinate_transformation_mode"]
    if mode == "linear":
        return where in PLAIN_LINEAR
    return mode == "nearest" and where == "asymmetric" and how["nearest_mode"] == "floor"


def rows(op, how, length, given, x):
    """The matrix [after, length] of an axis: what becomes of the identity matrix."""
    kind, value, part = given
    if kind == "aspect":
        return rows_of_both(op, how, value, part, x)
    eye = op.constant(np.eye(length, dtype=np.float32)[None, None])
    roi = None if part is None else np.array([0, 0, part[0], 0, 1, 1, part[1], 1], np.float32)
    if kind == "sizes":
        made = op.Resize(eye, roi, None, np.array([1, 1, value, length], np.int64), **how)
    else:
        made = op.Resize(eye, roi, np.array([1, 1, value, 1], np.float32), **how)
    known = made.constant
    return None if known is None else known[0, 0]


def rows_of_both(op, how, axis, asked, x):
    """The matrix of one of two axes that share a scale: of images of the other's length, alike along it."""
    height, width, policy = asked
    length = x.shape[axis]
    shape = [1, length, length, x.shape[3]] if axis == 2 else [1, length, x.shape[2], length]
    eye = (
        np.eye(length, dtype=np.float32)[None, :, :, None]
        if axis == 2
        else np.eye(length, dtype=np.float32)[None, :, None]
    )
    image = op.constant(np.ascontiguousarray(np.broadcast_to(eye, shape)))
    sizes = np.array([height, width], np.int64)
    known = op.Resize(image, None, None, sizes, axes=[2, 3], keep_aspect_ratio_policy=policy, **how).constant
    if known is None:
        return None
    return np.ascontiguousarray((known[0, :, :, 0] if axis == 2 else known[0, :, 0, :]).T)


def along(op, x, dims, axis, matrix):
    """`matrix` times an axis of `x`; None where too many lengths are unknown for a Reshape."""
    rank = len(dims)
    if axis == rank - 1 and rank <= 4:
        return op.MatMul(x, np.ascontiguousarray(matrix.T))
    if axis == rank - 2 and rank <= 4:
        return op.MatMul(matrix, x)
    behind = dims[axis + 1 :]
    if not all(isinstance(dim, int) for dim in behind):
        return None
    ahead = [dim if isinstance(dim, int) else -1 for dim in dims[:axis]]
    if ahead.count(-1) > 1:
        return None
    if axis == rank - 1:
        rows = op.Reshape(x, [-1, dims[axis - 1] if isinstance(dims[axis - 1], int) else 1, dims[axis]])
        flat = op.MatMul(rows, np.ascontiguousarray(matrix.T))
    else:
        flat = op.MatMul(matrix, op.Reshape(x, [-1, dims[axis], math.prod(behind)]))
    return op.Reshape(flat, [*ahead, len(matrix), *behind])
