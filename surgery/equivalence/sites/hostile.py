"""Values that bring out what a rewrite gets wrong: hostile ones, on shapes of real runs.

Shapes come from real runs, for what an operator takes can't be guessed; only values are made.
Integers mostly are indices, sizes and axes, and stay as the runs had them, but for families of
their own. In the `size` family the axes that changed together over the runs are set to other
lengths: 1, small and large primes.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

MOST = 200_000  # elements of one set of inputs; beyond it the time is better spent on more sets
ENOUGH = 4_000  # elements; of fewer, a family is drawn four times
SIZES = (1, 5, 67, 131)  # none divides another, the large ones are no multiple of any vector's length

PLAIN = ("normal", "x100", "x1e-3", "+1000", "uniform", "ties", "zeros", "-0", "ones", "wide")
FAR = ("x1e10", "x1e-20", "1e-40", "1e30")  # beyond what float16 has
STRANGE = ("nan", "inf", "mixed")
WHOLE = ("ints", "ints large")
SHORT = ("normal", "ties", "x1e10", "mixed")  # for inputs of more than `MOST` elements
LOOSE = {"1e30", "max"}  # where an overflow may come earlier or later

# ONNX Runtime keeps a NaN in these only where it comes first, or in some lanes of a vector.
UNSTEADY = {
    "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "TopK", "MaxPool", "GlobalMaxPool", "MaxRoiPool",
    "NonMaxSuppression", "Unique", "Hardmax", "LayerNormalization",
}  # fmt: skip
# Whether these give 0 or -0 depends on the lane, or on the order of what they choose from.
UNSIGNED = {*UNSTEADY, "Max", "Min", "Clip", "Where"}
# With integers of a size at will these would ask for all memory, or never end.
_GREEDY = {"Range", "Tile", "Expand", "ConstantOfShape", "Resize", "Upsample", "Loop", "Pad", "OneHot", "Reshape"}

Feeds = dict[str, Any]


class Attack:
    """Makes the hostile inputs of one cut.

    Args:
        captures: the inputs of each real run.
        operators: those of both halves.
        bounds: constants of the halves, near which something may change (of Clip, of Where).
        domain: between what finite values an input has to stay, by its name.
        seed: of all chance.
        exact: same bits are promised, so overflow has its place too.
    """

    def __init__(
        self,
        captures: Sequence[Feeds],
        operators: Collection[str],
        bounds: Sequence[float] = (),
        domain: Mapping[str, tuple[float, float]] | None = None,
        seed: int = 0,
        exact: bool = False,
    ) -> None:
        self.captures = sorted(captures, key=count)
        self.base = [self.captures[0], *(run for run in self.captures if count(run) <= ENOUGH)][-1]
        self.steady = UNSTEADY.isdisjoint(operators)
        self.greedy = not _GREEDY.isdisjoint(operators)
        self.domain = dict(domain or {})
        self.seed = seed
        self.exact = exact
        halves = np.concatenate([np.arange(-20, 21) / 2.0, np.arange(-11, 12, 2) / 4.0, np.arange(-7, 8, 2) / 8.0])
        near = [np.nextafter(np.float32(b), np.float32(to)) for b in bounds for to in (-np.inf, np.inf)]
        self.ties = np.unique(np.concatenate([halves, np.asarray([*bounds, *near], np.float64)]))

    def families(self) -> list[str]:
        """The names of the families that say something about these inputs."""
        kinds = {np.asarray(v[0] if isinstance(v, list) and v else v).dtype.kind for v in self.base.values()}
        names: list[str] = []
        if kinds & {"f", "b"}:
            names += PLAIN if "f" in kinds else PLAIN[:4]  # bools are drawn anew each time
        if "f" in kinds:
            narrow = any(getattr(v, "dtype", None) == np.float16 for v in self.base.values())
            if narrow:  # a product of two would overflow, sooner or later by how it is added up
                names = [name for name in names if name not in ("+1000", "x100", "wide")]
            names += [*(() if narrow else FAR), *(STRANGE if self.steady else ()), *(("max",) if self.exact else ())]
        if kinds & {"i", "u"}:
            names += WHOLE[:1] if self.greedy else WHOLE
        return [name for name in names if name in (*SHORT, *WHOLE)] if count(self.base) > MOST else names

    def hostile(self) -> Iterator[tuple[str, Feeds]]:
        """Inputs of every family, at the sizes of a run."""
        times = 4 if count(self.base) < ENOUGH // 2 else 1
        for family in self.families():
            for i in range(1 if family in _CONSTANT else times):
                yield family, self._fill(family, self.base, i)

    def resized(self) -> Iterator[tuple[str, Feeds]]:
        """Normal inputs, at sizes that no run had."""
        for i, shaped in enumerate(self._resized()):
            yield "size", self._fill("normal", shaped, i)

    def _fill(self, family: str, like: Feeds, number: int = 0) -> Feeds:
        feeds: Feeds = {}
        for name, value in like.items():
            rng = np.random.default_rng([self.seed, number, zlib.crc32(f"{family} {name}".encode())])
            if isinstance(value, list):
                feeds[name] = [self._array(family, v, rng) for v in value]
                continue
            made = self._array(family, value, rng)
            feeds[name] = _within(made, *self.domain[name]) if name in self.domain and made.dtype.kind == "f" else made
        return feeds

    def _array(self, family: str, like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        kind = like.dtype.kind
        if kind == "b":
            return np.asarray(rng.random(like.shape) < 0.5)
        if kind in "iu" and family in WHOLE:
            return _integers(family, like, rng)
        if kind != "f" or family in WHOLE:
            return like
        with np.errstate(over="ignore"):
            return np.asarray(_floats(family, like.shape, rng, self.ties), like.dtype)

    def _resized(self) -> Iterator[Feeds]:
        """The inputs at other sizes: one symbol changed, what is in proportion to it following."""
        shapes = [{name: np.shape(v) for name, v in run.items() if not isinstance(v, list)} for run in self.captures]
        ranks = [{name: len(shape) for name, shape in run.items()} for run in shapes]
        if any(rank != ranks[0] for rank in ranks):
            return
        axes = {
            (name, axis): tuple(run[name][axis] for run in shapes)
            for name, shape in shapes[0].items()
            for axis in range(len(shape))
        }
        for symbol in dict.fromkeys(v for v in axes.values() if len(set(v)) > 1 and 0 not in v):
            for size in SIZES:
                sized = {name: list(shape) for name, shape in shapes[0].items()}
                for (name, axis), vector in axes.items():
                    sized[name][axis] = _follow(vector, symbol, size) or sized[name][axis]
                resized = {name: self._resize(value, name, sized, symbol, size) for name, value in self.base.items()}
                if count(resized) <= MOST:
                    yield resized

    def _resize(self, value: Any, name: str, sized: Mapping[str, list[int]], symbol: Any, size: int) -> Any:
        if name not in sized:
            return value
        if value.dtype.kind in "fb":  # drawn anew; only the shape counts
            return np.broadcast_to(value.dtype.type(0), sized[name])
        resized = np.resize(value, sized[name])
        if value.dtype.kind in "iu" and value.size <= 16 and list(value.shape) == sized[name]:
            # It may hold sizes: elements that changed as the symbol did follow it.
            history = [np.ravel(run[name]) for run in self.captures]
            for i in range(value.size):
                vector = tuple(int(h[i]) for h in history)
                if len(set(vector)) > 1 and all(v > 0 for v in vector):
                    resized.reshape(-1)[i] = _follow(vector, symbol, size) or resized.reshape(-1)[i]
        return resized


def count(feeds: Mapping[str, Any]) -> int:
    """The elements of a set of inputs."""
    return sum(
        sum(np.size(v) for v in value) if isinstance(value, list) else np.size(value) for value in feeds.values()
    )


def _follow(vector: Sequence[int], symbol: Sequence[int], size: int) -> int | None:
    """The length of an axis when the symbol is set to `size`; None where the axis has nothing to do with it."""
    if len(set(vector)) == 1 or any(v * symbol[0] != s * vector[0] for v, s in zip(vector, symbol, strict=True)):
        return None
    return max(size * vector[0] // symbol[0], 1)


def _within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if np.isfinite(low) or np.isfinite(high):
        values = np.nan_to_num(values, nan=0.0)
    return np.asarray(np.clip(values, values.dtype.type(low), values.dtype.type(high)))


def _floats(family: str, shape: tuple[int, ...], rng: np.random.Generator, ties: np.ndarray) -> np.ndarray:
    if family in _CONSTANT:
        return np.full(shape, _CONSTANT[family])
    if family == "ties":
        return rng.choice(ties, shape)
    if family == "uniform":
        return rng.random(shape, np.float32)
    values = rng.standard_normal(shape, np.float32)
    if family == "wide":
        return np.copysign(10.0 ** rng.uniform(-4, 5, shape), values)
    if family in _SCALES:
        return np.asarray(values * np.float64(_SCALES[family]))
    if family == "+1000":
        return np.asarray(values + 1000)
    if family == "max":
        return np.asarray(np.copysign(3.4028235e38 * (1 - 0.1 * rng.random(shape)), values))
    if family in STRANGE:
        values = np.atleast_1d(values)
        chance = rng.random(values.shape, np.float32)
        for value, low, high in _STRANGE[family]:
            values[(chance >= low) & (chance < high)] = value
        return values.reshape(shape)
    return values


_CONSTANT = {"zeros": 0.0, "-0": -0.0, "ones": 1.0}
_SCALES = {"x100": 100, "x1e-3": 1e-3, "x1e10": 1e10, "x1e-20": 1e-20, "1e-40": 1e-40, "1e30": 1e30}
_STRANGE = {
    "nan": [(np.nan, 0.0, 0.02)],
    "inf": [(np.inf, 0.0, 0.03), (-np.inf, 0.03, 0.06)],
    "mixed": [
        (np.nan, 0.0, 0.01),
        (np.inf, 0.01, 0.02),
        (-np.inf, 0.02, 0.03),
        (-0.0, 0.03, 0.06),
        (1e-40, 0.06, 0.08),
        (1e5, 0.08, 0.10),
        (-1e5, 0.10, 0.12),
    ],
}


def _integers(family: str, like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    info = np.iinfo(like.dtype)
    if family == "ints" and info.bits > 8:
        low, high = max(-9, info.min), 9
    else:
        low, high = max(-(2**40), info.min), min(2**40, info.max)
    return rng.integers(low, high, like.shape, like.dtype, endpoint=True)
