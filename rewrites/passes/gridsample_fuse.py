"""Make one GridSample of the arithmetic, plugins and placeholders that exporters write in its place.

    X ── Pad ── Reshape ── Gather x4 ── Mul, Add ── y             X ────┐
    G ── scale ─┬─ Floor ── Clip ┘          │             =>        GridSample ── y
                └─ weights ─────────────────┘                     G ────┘

Below opset 16, which has no GridSample, what is written is ``com.microsoft::GridSample``; from there on, the standard
one. With ``opset=16`` (or a later one) the whole model is converted, too, by ONNX's version converter. Recognised are
samplers by name (``grid_sampler`` of mmcv and mmdeploy, the TensorRT plugins ``GridSampler`` and ``GridSampler2DTRT``,
a GridSample of the default domain in a file too old for it), and arithmetic: what mmcv's ``bilinear_grid_sample`` and
the decomposition of torch's ``grid_sampler_2d`` become in a trace, as exported or after an optimizer. Of arithmetic,
the graph only suggests where the image, the grid and the result are. The part between them is then cut out and run, on
random images and grids, inside [-1, 1], on the edges and far outside, at several sizes; and it becomes that GridSample,
of three modes, three paddings and two values of align_corners, which gives the same.

Why: torch has no GridSample below opset 16 (pytorch/pytorch #27212), so mmcv's arithmetic is what most exports hold. A
compiler that has the operator computes it better in one piece; for one that lacks it, the pass ``gridsample`` spells it
out in half of the nodes. On ONNX Runtime 1.31 alone, fusing makes align_corners=1 slower.

Numbers: 1e-4 where positions are within 100 pixels of the image. They are rounded in another order, so they are off by
some 1e-7 of themselves; nearest may take the other pixel where a position is that close to the middle between two.
Further out, and where the grid is not finite, the two may make different things: ONNX Runtime 1.31 takes what is not
finite for -1, arithmetic makes NaN of it; torch's decomposition counts reflections in eight bits, and gives 0, not the
pixel, where it reflects about the middle of a single one.

Refuses: with ``opset=``, a model that can't be converted. It leaves, and says why: arithmetic that gives something else
than GridSample; image and grid of another dtype than float32; 5-D below opset 20.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice, product
from typing import Any

import numpy as np
import onnx.version_converter
import onnx_ir as ir

from rewrites.passes._sampling import OLD_NAMES, Ends, Part, Sampling, grid_sample
from rewrites.passes.gridsample import GridSample, read
from surgery import BadInput, Close, Pass, Refused

GATHERS = ("GatherElements", "GatherND", "Gather")
# What lies between a gathered pixel and the result; between the image and what is gathered.
ONWARD = ("Mul", "Add", "Sum", "Where", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Transpose", "Identity")
RESHAPING = ("Reshape", "Pad", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity")
# How many nodes are looked at, from the numbers of pixels back: for a rounding, for the grid; and how many candidates.
NEAR, FAR, MOST = 120, 1500, 4
LARGE = 1024  # elements, from which on a weight is none of the version converter's business


class GridSampleFuse(Pass):
    """See the module."""

    operator = (*GridSample.operator, *GATHERS)
    contract = Close(rtol=1e-4, atol=1e-4)
    # By the names of what arithmetic reads: positions (Floor and Round, Clip, Max and Min), the image (Gather, Pad).
    domain = {**dict.fromkeys(("X", "input", "data_0"), (-100.0, 100.0)), "data": (-1e30, 1e30)}
    opset: int = 0  # convert the whole model to this one, 16 or later; 0 leaves it as it is

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._tried: set[Ends] = set()
        if self.opset and self.opset < 16:
            raise BadInput(f"opset {self.opset} has no GridSample", cure="16 is the first that has it")

    def rewrite(self, op, node):
        return from_arithmetic(op, node, self._tried) if node.op_type in GATHERS else from_name(op, node)

    def after(self, model):
        if 0 < model.opset_imports.get("", 0) < self.opset:
            convert(model, self.opset)
            standard(model, self.opset)


def from_name(op, node):
    """A sampler of another domain, or of an opset that has none, as GridSample."""
    if (node.op_type, node.domain) == ("GridSample", "" if op.opset >= 16 else "com.microsoft"):
        return op.skip()
    how = read(node, op.opset)
    if isinstance(how, str):
        return op.skip(how)
    if how.rank == 5 and op.opset < 20:
        return op.skip("GridSample in 5-D came with opset 20")
    image, grid = node.inputs
    if how.bevformer:
        if not how.rank:
            return op.skip("the rank is unknown")
        grid = op.Div(op.Transpose(grid, perm=[0, *range(2, how.rank), 1]), 10.0)
    return grid_sample(op, image, grid, Sampling(how.mode, how.padding, how.align_corners))


def from_arithmetic(op, node, tried: set[Ends]):
    """What becomes of the pixels that a node gathers, as GridSample; `tried` is what was found to be none."""
    if len(node.inputs) != 2 or not numbered(node.inputs[1]):
        return op.skip()
    why = "no image and grid, 4-D and of float32, are found that its result comes from"
    for image, grid in product(images(node.inputs[0]), grids(node.inputs[1])):
        for end in results(node):
            part = Part(end.ir, image.ir, grid.ir, op.opset)
            if not part.closed:
                continue
            if part.ends in tried:  # by way of another pixel of the same sampler
                why = ""
                continue
            how = part.sampling(image.shape, grid.shape)
            if isinstance(how, Sampling):
                return {end: grid_sample(op, as_it_is(image), as_it_is(grid), how)}
            tried.add(part.ends)
            why = how
    return op.skip(why)


def numbered(indices) -> bool:
    """Whether indices come from positions that were rounded."""
    return any(node.op_type in ("Floor", "Round") for node in upstream(indices, NEAR))


def results(node) -> list[Any]:
    """What a gathered pixel becomes, step by step, the last first."""
    found = [node.outputs[0]]
    while not found[-1].is_output:
        readers = [reader for reader in found[-1].readers if reader.op_type != "Shape"]
        if len(readers) != 1 or readers[0].op_type not in ONWARD:
            break
        found.append(readers[0].outputs[0])
    return [value for value in reversed(found) if value.shape is None or len(value.shape) == 4]


def images(table) -> list[Any]:
    """What may be the image whose pixels a table holds, the nearest first."""
    found = [table]
    while (node := found[-1].producer) and node.op_type in RESHAPING and node.inputs[0] is not None:
        found.append(node.inputs[0])
    return [value for value in found if is_float(value) and value.shape is not None and len(value.shape) == 4][:MOST]


def grids(indices) -> list[Any]:
    """What may be the grid that indices come from, the nearest first."""
    values = dict.fromkeys(value for node in upstream(indices, FAR) for value in node.inputs if value is not None)
    shaped = (value for value in values if value.shape is not None and len(value.shape) == 4 and value.shape[-1] == 2)
    return list(islice((value for value in shaped if is_float(value)), MOST))


def upstream(value, most: int) -> Iterator[Any]:
    """The nodes that a tensor comes from, the nearest first, but for what they only ask for its shape."""
    queue, met, count = deque([value]), {value}, 0
    while queue and count < most:
        node = queue.popleft().producer
        if node is None or node.op_type == "Shape":
            continue
        count += 1
        yield node
        for source in node.inputs:
            if source is not None and source not in met:
                met.add(source)
                queue.append(source)


def as_it_is(value):
    """From where a tensor comes unchanged: through identities, and casts to the dtype that it has."""
    while (node := value.producer) and node.op_type in ("Identity", "Cast") and node.inputs[0].dtype == value.dtype:
        value = node.inputs[0]
    return value


def is_float(value) -> bool:
    """Whether a tensor is of float32."""
    return bool(value.dtype == np.float32)


# ---------------------------------------------------------------------------- the whole model


def convert(model, opset: int) -> None:
    """Convert a model in place, by ONNX's converter, which sees no large weights."""
    if model.functions:
        raise Refused("the version converter does not convert functions", cure="leave out opset=")
    graph, weights = model.graph, {}
    for name, value in list(graph.initializers.items()):
        if value.const_value.size > LARGE and not value.is_graph_input():
            weights[name] = value.const_value
            del graph.initializers[name]
            graph.inputs.append(value)
            value.const_value = None
    try:
        converted = ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), opset))
    except Exception as error:  # it raises its own kinds
        what = str(error).strip().partition("\n")[0]
        raise Refused(f"the model can't be converted to opset {opset}: {what}", cure="leave out opset=") from error
    inputs = {value.name: value for value in converted.graph.inputs}
    for name, tensor in weights.items():
        converted.graph.inputs.remove(inputs[name])
        inputs[name].const_value = tensor
        converted.graph.register_initializer(inputs[name])
    model.graph = converted.graph


def standard(model, opset: int) -> None:
    """Make every ``com.microsoft::GridSample`` of a model the standard one."""
    for node in model.graph.all_nodes():
        if (node.domain, node.op_type) == ("com.microsoft", "GridSample"):
            node.domain, node.version = "", opset
            mode = node.attributes["mode"].as_string()
            new = {old: new for new, old in OLD_NAMES.items()}
            node.attributes["mode"] = ir.AttrString("mode", new[mode] if opset >= 20 else mode)
    if not any(node.domain == "com.microsoft" for node in model.graph.all_nodes()):
        model.opset_imports.pop("com.microsoft", None)
