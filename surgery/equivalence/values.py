"""Values for an input: by its role, its dtype, and the kind of image wanted.

No kind of image serves all models: noise leaves a text detector at 0, text on a light ground
saturates a classifier. So several kinds are made, and judged by the faults they show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surgery.equivalence.ports import Port
from surgery.equivalence.roles import Role

KINDS = ("bars", "1/f", "normal", "bars 0-255", "uniform")  # in the order in which they are used
FLOATS = ("image", "signal", "positive", "share", "bounded", "grid", "scales")  # roles
_HUGE = 40  # bits of the widest integers: beyond what 32 bits hold, and short of overflow in sums
_WORDS = ("alpha", "Beta gamma", "", "1234567", "naïve", "delta")


def fill(port: Port, shape: Sequence[int], role: Role, kind: str, rng: np.random.Generator, like: Sequence[int]) -> Any:
    """Values for one input.

    Args:
        port: the input.
        shape: its shape; every sample (axis 0) gets values of its own.
        role: what the input is for.
        kind: of `KINDS`; what is no image follows it as far as it can.
        rng: where chance comes from.
        like: the shape of the model's main input, which lengths and sizes refer to.

    Returns:
        An array of the port's dtype, or a list of two for a sequence.
    """
    if port.kind == "sequence":
        return [_array(port, shape, role, kind, rng, like) for _ in range(2)]
    return _array(port, shape, role, kind, rng, like)


def _array(
    port: Port, shape: Sequence[int], role: Role, kind: str, rng: np.random.Generator, like: Sequence[int]
) -> np.ndarray:
    shape = tuple(shape)
    with np.errstate(over="ignore"):
        if role.kind in FLOATS:
            return np.asarray(_floats(shape, role, kind, rng)).astype(port.numpy)
        if role.kind == "text":
            return rng.choice(np.asarray(_WORDS, object), shape)
        if role.kind == "flags":
            return _flags(shape, rng)
        if role.kind == "bytes":
            low = -128 if port.numpy == np.int8 else 0
            if len(shape) >= 3:
                return (bars(shape, rng) * 127.5 + 127.5 + low).astype(port.numpy)
            return rng.integers(low, low + 256, shape).astype(port.numpy)
        if role.kind in ("signed", "wide"):
            return _unbounded(shape, role, port.numpy, rng)
        return np.asarray(_integers(shape, role, rng, like)).astype(port.numpy)


def _floats(shape: tuple[int, ...], role: Role, kind: str, rng: np.random.Generator) -> np.ndarray:
    if role.kind == "scales":
        return np.asarray([1.0] * max(shape[0] - 2, 0) + [2.0] * min(shape[0], 2)) if shape else np.asarray(2.0)
    if role.kind == "positive":
        return np.asarray(1 + rng.random(shape))
    if role.kind == "share":
        return np.asarray(0.2 + 0.6 * rng.random(shape))
    if role.kind in ("bounded", "grid"):
        reach = 1.3 if role.kind == "grid" else 1.0  # a sampler is to look beyond the border too
        return rng.uniform(-reach, reach, shape)
    if kind == "uniform":
        return rng.random(shape)
    if kind == "1/f":
        return smooth(shape, rng)
    if kind.startswith("bars") and role.kind == "image" and min(shape[-2:]) > 1:
        picture = bars(shape, rng)
        return picture * 127.5 + 127.5 if kind.endswith("255") else picture
    return rng.standard_normal(shape) * (64 if kind.endswith("255") and role.kind == "image" else 1)


def bars(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Pictures that pass for lines of text: a light ground, cells of 2 to 4 dark bars each.

    Args:
        shape: [..., channels, height, width], or channels last where that axis is 1, 3 or 4.

    Returns:
        Values from -1 to 1, float64.
    """
    last = len(shape) > 3 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4)
    *outer, height, width = (shape[0], shape[3], shape[1], shape[2]) if last else tuple(shape)
    count = int(np.prod(outer[:-1], dtype=np.int64))
    pages = np.full((count, height, width), 0.85)
    line = min(height, max(8, height // 2 if height > 64 else height))  # tall pages hold lines of text
    for page in pages:
        for top in range(0, height, line):
            _line(page[top : top + line], rng)
    pages += rng.normal(0, 0.03, pages.shape)
    tint = rng.uniform(0.8, 1.0, (count, outer[-1], 1, 1)) if outer else 1.0
    picture = np.clip(pages[:, None] * tint, -1, 1).reshape(*outer, height, width)
    return np.moveaxis(picture, 1, -1) if last else picture


def _line(strip: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a line of cells, half as wide as high, into a strip [h, w]."""
    h, w = strip.shape
    cell, thick = max(h // 2, 4), max(1, h // 12)
    for left in range(0, w - cell // 2, cell):
        for _ in range(rng.integers(2, 5)):
            ink = rng.uniform(-1.0, -0.6)
            if rng.random() < 0.5:  # upright
                at, top = left + rng.integers(0, max(cell - thick, 1)), rng.integers(h // 8, h // 3 + 1)
                strip[top : h - h // 6, at : at + thick] = ink
            else:
                at = rng.integers(h // 8, max(h - h // 6, h // 8 + 1))
                strip[at : at + thick, left + 1 : left + cell - 1] = ink


def smooth(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with its frequency, as in photographs; from -1 to 1, float64.

    It runs over the last two axes of pictures, and over axis 1 of a signal [N, T, C].
    """
    noise = rng.standard_normal(tuple(shape))
    axes = [-2, -1] if len(shape) >= 4 else [1 if len(shape) == 3 else len(shape) - 1] if shape else []
    axes = [a for a in axes if shape[a] > 3]
    if not axes:
        return np.tanh(noise)
    frequency: Any = 0.0
    for axis in axes:
        steps = np.fft.fftfreq(shape[axis]) * shape[axis]
        frequency = frequency + np.expand_dims(steps**2, [i for i in range(len(shape)) if i != axis % len(shape)])
    spectrum = np.fft.fftn(noise, axes=axes) / np.sqrt(np.maximum(frequency, 1.0))
    picture = np.fft.ifftn(spectrum, axes=axes).real
    return np.asarray(picture / (np.abs(picture).max(axis=tuple(axes), keepdims=True) + 1e-12))


def _flags(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Booleans; the first of every row is true, since a mask that hides all gives NaN."""
    flags = rng.random(shape) < 0.7
    if flags.ndim:
        flags[..., :1] = True
    return np.asarray(flags)


def _integers(shape: tuple[int, ...], role: Role, rng: np.random.Generator, like: Sequence[int]) -> np.ndarray:
    length = int(like[-1] if len(like) == 4 else like[1] if len(like) > 1 else like[0] if like else 8)
    kind = role.kind
    if kind == "index":
        return rng.integers(0, max(role.bound, 1), shape)
    if kind == "lengths":  # some shorter than the rest, one of full length
        lengths = np.asarray(rng.integers(1, max(length, 1) + 1, shape))
        lengths.reshape(-1)[:1] = length
        return lengths
    if kind == "count":
        return np.full(shape, 3)
    if kind == "choice":
        return np.full(shape, role.values[int(rng.integers(len(role.values)))])
    if kind == "sizes":
        return np.asarray(_resized(like, int(np.prod(shape)))).reshape(shape)
    if kind == "parts":
        count = int(np.prod(shape))
        return np.asarray([role.bound // count] * (count - 1) + [role.bound - role.bound // count * (count - 1)])
    if kind == "axes":
        return np.arange(int(np.prod(shape))).reshape(shape)
    if kind == "digits":
        return rng.integers(0, 10, shape)
    if kind == "bits":
        bits = np.asarray(rng.integers(0, 2, shape))
        if bits.ndim:
            bits[..., :1] = 1
        return bits
    return np.full(shape, 1 if kind == "ones" else 0)


def _unbounded(shape: tuple[int, ...], role: Role, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    """Integers of any sign and size, as many of each number of bits; few ones hold the extremes at least."""
    limits = np.iinfo(dtype)
    most = min(limits.max, 100 if role.kind == "signed" else 1 << _HUGE)
    low = -most if limits.min else 0
    sizes = np.exp2(rng.uniform(0, np.log2(most), shape)).astype(np.int64)
    drawn = np.asarray(sizes * (rng.integers(0, 2, shape) * 2 - 1 if low else 1))
    marks = [low, most, *(mark + step for mark in (0, *role.values) for step in (-1, 0, 1))]
    marked = rng.choice(np.clip(marks, low, most), shape)
    values = np.asarray(np.where(rng.random(shape) < 0.3, marked, drawn))
    ends = [low, most] if role.kind == "signed" else [most, low]
    values.reshape(-1)[:2] = ends[: values.size]
    return values.astype(dtype)


def _resized(like: Sequence[int], rank: int) -> list[int]:
    """A shape of `rank` axes with as many elements as `like` has."""
    if rank >= len(like):
        return [1] * (rank - len(like)) + list(like)
    merged = len(like) - rank + 1
    return [int(np.prod(like[:merged])), *like[merged:]]
