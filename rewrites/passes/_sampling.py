"""Write GridSample, and tell by running it which one a part of a graph computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from rewrites.passes.gridsample import MODES, PADDINGS

OLD_NAMES = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
# Sizes where the model leaves them open: batch, channels, height and width of the image, of the result.
SIZES = ((2, 3, 5, 7, 4, 6), (1, 2, 9, 4, 9, 4), (3, 1, 2, 11, 5, 3))
# A larger image or result is not run.
MOST_ELEMENTS = 1 << 26
# Torch's bicubic sampler takes 955 nodes as it is traced.
MOST_NODES = 2000
# Of a position, computed in float32 by some six roundings in the one way and in the other.
ROUNDING = 12 * 2.0**-24
# By how much a value between pixels of -1 to 1 changes at most, over one pixel and both axes.
STEEPEST = 6.0

Dims = Sequence[int | str | None]
Ends = tuple[ir.Value, ir.Value, ir.Value]


class Sampling(NamedTuple):
    """What a GridSample does, its mode as opset 20 names it."""

    mode: str
    padding: str
    align_corners: bool


EVERY = [Sampling(*how) for how in product(MODES, PADDINGS, (False, True))]


def grid_sample(op, image, grid, how: Sampling):
    """A GridSample, in the domain that has it at the model's opset."""
    attributes = {"padding_mode": how.padding, "align_corners": int(how.align_corners)}
    if op.opset >= 16:
        return op.GridSample(image, grid, mode=how.mode, **attributes)
    return op.GridSample(image, grid, mode=OLD_NAMES[how.mode], domain="com.microsoft", **attributes)


class Part:
    """What lies between an image, a grid and a result, cut out of its graph.

    Args:
        end: the result.
        image: where it begins.
        grid: where else it begins.
        opset: the version of the standard operators.
    """

    def __init__(self, end: ir.Value, image: ir.Value, grid: ir.Value, opset: int) -> None:
        self.end, self.image, self.grid, self.opset = end, image, grid, opset
        self.nodes: dict[ir.Node, None] = {}
        self.constants: dict[str, ir.TensorProtocol] = {}
        self.closed = self._collect()

    def _collect(self) -> bool:
        """Gather nodes and constants; False if the result depends on more than the two, or not on both."""
        met: set[ir.Value] = set()
        stack = [(self.end, False)]
        while stack:
            value, done = stack.pop()
            node = value.producer()
            if done and node is not None:
                self.nodes[node] = None
            elif value not in met:
                met.add(value)
                if value is self.image or value is self.grid:
                    continue
                if node is None:
                    if value.const_value is None or value.is_graph_input():
                        return False
                    self.constants[value.name or ""] = value.const_value
                elif node.domain or len(met) > MOST_NODES or not all(map(_plain, node.attributes.values())):
                    return False
                else:
                    stack += [(value, True), *((v, False) for v in node.inputs if v is not None)]
        return self.image in met and self.grid in met

    @property
    def ends(self) -> Ends:
        """What tells it from other parts."""
        return self.end, self.image, self.grid

    def sampling(self, image: Dims, grid: Dims) -> Sampling | str:
        """The GridSample that this part computes; or why it is none.

        Args:
            image: dims of the image; an int, the name of a symbol, or None.
            grid: those of the grid.
        """
        session = _session(self._model())
        if isinstance(session, str):
            return f"what was cut out can't be run: {session}"
        left, ran = EVERY, 0
        for sizes in _sizes(image, grid):
            if max(np.prod(sizes[:4]), np.prod([*sizes[:2], *sizes[4:]])) > MOST_ELEMENTS:
                return f"it is too large to be tried: {sizes}"
            for pixels, places in _probes(sizes):
                result = _run(session, pixels, places)
                if isinstance(result, str):
                    break
                left = [how for how in left if _same(how, pixels, places, result)]
                if not left:
                    return f"it computes something else than GridSample (tried with X {pixels.shape})"
            else:
                ran += 1
        return left[0] if ran else f"what was cut out can't be run: {result}"

    def _model(self) -> onnx.ModelProto:
        """The part, with the two as inputs and the result as output."""
        graph = onnx.GraphProto(name="part", node=[ir.serde.serialize_node(node) for node in self.nodes])
        for name, tensor in self.constants.items():
            proto = graph.initializer.add()
            proto.CopyFrom(ir.serde.serialize_tensor(tensor))
            proto.name = name
        for value in (self.image, self.grid):
            graph.input.append(helper.make_tensor_value_info(value.name or "", TensorProto.FLOAT, [None] * 4))
        graph.output.append(helper.make_tensor_value_info(self.end.name or "", TensorProto.FLOAT, None))
        return onnx.ModelProto(ir_version=8, graph=graph, opset_import=[helper.make_opsetid("", self.opset)])


def _plain(attribute: ir.Attr) -> bool:
    """Whether an attribute is neither a sub-graph nor the parameter of a function."""
    return not attribute.is_ref() and attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def _sizes(image: Dims, grid: Dims) -> Iterator[tuple[int, ...]]:
    """Sizes that the dims allow: equal symbols are of equal size, and so are both batches."""
    dims = [*image, *grid[1:3]]
    if isinstance(grid[0], int):
        dims[0] = grid[0]
    for row in dict.fromkeys(SIZES):
        known: dict[int | str, int] = {}
        yield tuple(
            dim if isinstance(dim, int) else known.setdefault(i if dim is None else dim, size)
            for i, (dim, size) in enumerate(zip(dims, row, strict=True))
        )
        if all(isinstance(dim, int) for dim in dims):
            return


def _probes(sizes: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images of -1 to 1, and grids: inside, around, far outside, and on all edges."""
    batch, channels, height, width, *out = sizes
    draw = np.random.default_rng(0)
    for reach in (1.0, 3.0, 16.0, None):
        pixels = draw.uniform(-1, 1, (batch, channels, height, width)).astype(np.float32)
        places = draw.uniform(-1, 1, (batch, *out, 2)) * (reach or 1.0)
        if reach is None:  # half a pixel apart, in the count of either value of align_corners
            size = np.array([width, height])
            position = draw.integers(-4, 2 * size + 5, places.shape) / 2
            corners = 2 * position / np.maximum(size - 1, 1) - 1
            places = np.where(draw.random((batch, *out, 1)) < 0.5, corners, (2 * position + 1) / size - 1)
        yield pixels, places.astype(np.float32)


def _same(how: Sampling, pixels: np.ndarray, places: np.ndarray, result: np.ndarray) -> bool:
    """Whether a result is what GridSample gives, but for the rounding of positions."""
    wish = _run(_sampler(how), pixels, places)
    if isinstance(wish, str) or wish.shape != result.shape:
        return False
    size = np.array(pixels.shape[:1:-1])
    position = ((places.astype(np.float64) + 1) * (size - how.align_corners) - (not how.align_corners)) / 2
    off = ROUNDING * (np.abs(position) + size)
    apart = np.abs(result.astype(np.float64) - wish)
    if how.mode != "nearest":
        return bool((apart <= 1e-6 + STEEPEST * off.max(axis=-1)[:, None]).all())
    # Where a position is in the middle between two pixels, either will do.
    clear = (np.abs(position - np.floor(position) - 0.5) > off + 1e-6).all(axis=-1)[:, None]
    return bool((apart[np.broadcast_to(clear, apart.shape)] <= 1e-6).all()) and np.isfinite(apart).all()


@cache
def _sampler(how: Sampling) -> Any:
    """A session of one GridSample."""
    attributes: dict[str, Any] = {"padding_mode": how.padding, "align_corners": int(how.align_corners)}
    node = helper.make_node("GridSample", ["X", "G"], ["Y"], mode=OLD_NAMES[how.mode], **attributes)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in "XGY"]
    graph = helper.make_graph([node], "sampler", ports[:2], ports[2:])
    return _session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8))


def _session(model: onnx.ModelProto) -> Any:
    """A session of ONNX Runtime, its inputs in the order of the model's; a text, if it can't be loaded."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises its own kinds
        return _first_line(error)


def _run(session: Any, pixels: np.ndarray, places: np.ndarray) -> Any:
    """What a session makes of an image and a grid; a text, if it can't."""
    names = [value.name for value in session.get_inputs()]
    try:
        (result,) = session.run(None, dict(zip(names, (pixels, places), strict=True)))
    except Exception as error:  # the runtime raises its own kinds
        return _first_line(error)
    return result


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
