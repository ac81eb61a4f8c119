"""Put GridSample back where an export had arithmetic stand in for it.

    X ───────────────────────────────────────────────────────────────┐          X ────┐
                                                                    Add ── y  =>    GridSample ── y
    G ── Unsqueeze 2 ── Pad (channels) ── Squeeze 2 ── Transpose ────┘          G ────┘

An exporter without grid_sample was given, in its place, operators that only keep its shapes: the grid [N, H, W, 2] is
padded with zeros to the channels of the image and added to it. Transposes there and back, with zeros added in between,
come along before and after; they go, too. All is found by the shape of the graph, not by names: as either of Paddle's
exporters writes it, and as optimizers leave it. Below opset 16 what is put there is ``com.microsoft::GridSample``;
where a compiler lacks it, the pass ``gridsample`` spells it out.

Why: patches of Ascend's ModelZoo do so for RARE and StarNet, to export at opset 11; scripts that then remove five
nodes by fixed names break with the next version of the exporter (Ascend/ModelZoo-PyTorch, opt_onnx.py of
Starnet_Resnet34 and RARE_MobileNetV3). What is exported is valid, loads, runs, and is wrong.

Numbers: results change, since those of the stand-in have nothing to do with sampling. What the model called is not in
the file, so the options say it; they begin with what Paddle's grid_sample does when it is told nothing. Stored results
of the model (``--reference``) decide.

Refuses: nothing. A grid that is padded with another value, or not to the channels of the image, is left.
"""

from typing import Literal

import numpy as np

from surgery import Changes, Pass

IN_ORDER = (0, 1, 2, 3)


class GridSampleStandin(Pass):
    """See the module."""

    operator = "Pad"
    contract = Changes("arithmetic that stood in for GridSample samples now")
    mode: Literal["linear", "nearest", "cubic"] = "linear"  # what the model called: how pixels are joined
    padding: Literal["zeros", "border", "reflection"] = "zeros"  # what lies outside of the image
    align_corners: bool = True  # whether -1 and 1 are the middle of the outermost pixels

    def rewrite(self, op, node):
        more = added_channels(node)
        if not more:
            return op.skip()
        grid, padded = node.inputs[0], node.outputs[0]
        if len(node.constant(1)) == 10:
            padded = following(padded, "Squeeze")
            grid = padded and squeezed(op, grid, padded.producer)
        padded = following(padded, "Transpose", perm=[0, 3, 1, 2])
        total = following(padded, "Add")
        if total is None:
            return op.skip()
        image = next(value for value in total.producer.inputs if value != padded)
        if image.shape is None or len(image.shape) != 4 or image.shape[1] != 2 + more:
            return op.skip(f"{image.name!r} {image.shape} is not of the {2 + more} channels that the grid is padded to")
        return {onward(total): self.sampled(op, backward(image), backward(grid))}

    def sampled(self, op, image, grid):
        """The image, sampled as the options say."""
        how = {"padding_mode": self.padding, "align_corners": int(self.align_corners)}
        if op.opset >= 16:
            return op.GridSample(image, grid, mode=self.mode, **how)
        mode = {"linear": "bilinear", "cubic": "bicubic"}.get(self.mode, self.mode)
        return op.GridSample(image, grid, mode=mode, domain="com.microsoft", **how)


def added_channels(node) -> int:
    """How many channels a Pad adds to a grid [N, H, W, 2] or [N, H, 1, W, 2]; 0 if it does something else."""
    shape, pads = node.inputs[0].shape, node.constant(1)
    value = node.constant(2) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(())
    if pads is None or len(pads) not in (8, 10) or value is None or value.any() or node.attr("mode") != "constant":
        return 0
    pads = pads.reshape(2, -1)
    alone = not pads[:, :-1].any() and (pads >= 0).all() and (shape is None or shape[-1] in (2, None))
    return int(pads.sum()) if alone else 0


def squeezed(op, grid, squeeze):
    """The grid [N, H, 1, W, 2] without the axis that `squeeze` takes away after the Pad."""
    maker = grid.producer
    axes = squeeze.constant(1).tolist() if len(squeeze.inputs) > 1 else squeeze.attr("axes")
    return maker.inputs[0] if maker and maker.op_type == "Unsqueeze" else op.Squeeze(grid, axes)


def following(value, op_type: str, **attributes):
    """What the only reader of a tensor gives, if that is such an operator; None if not."""
    if value is None or value.is_output or len(value.readers) != 1:
        return None
    (reader,) = value.readers
    fits = reader.op_type == op_type and all(reader.attr(name) == wish for name, wish in attributes.items())
    return reader.outputs[0] if fits else following(reader.outputs[0], op_type, **attributes) if idle(reader) else None


def idle(node) -> bool:
    """Whether a node gives what it is given: an Identity, or zeros added."""
    return node.op_type == "Identity" or (node.op_type == "Add" and zeros(node) is not None)


def zeros(node):
    """Which input of an Add is zeros that do not widen the other; None if neither is."""
    for i, other in ((0, 1), (1, 0)):
        constant, shape = node.constant(i), node.inputs[other].shape
        if constant is None or shape is None or constant.any() or constant.ndim > len(shape):
            continue
        if all(dim in (1, of) for dim, of in zip(constant.shape[::-1], shape[::-1], strict=False)):
            return i
    return None


def backward(value):
    """From where a tensor comes as it is: through zeros added, and transposes there and back."""
    order: tuple[int, ...] = IN_ORDER
    found = value
    while (node := value.producer) is not None:
        if node.op_type == "Transpose" and node.attr("perm") and len(node.attr("perm")) == len(order):
            order = tuple(node.attr("perm")[i] for i in order)
        elif not idle(node):
            break
        value = node.inputs[1 if node.op_type == "Add" and zeros(node) == 0 else 0]
        if order == IN_ORDER:
            found = value
    return found


def onward(value):
    """How far a tensor is handed on as it is: through zeros added, and transposes there and back."""
    order: tuple[int, ...] = IN_ORDER
    found = value
    while not value.is_output and len(value.readers) == 1:
        (node,) = value.readers
        if node.op_type == "Transpose" and node.attr("perm") and len(node.attr("perm")) == len(order):
            order = tuple(order[i] for i in node.attr("perm"))
        elif not idle(node):
            break
        value = node.outputs[0]
        if order == IN_ORDER:
            found = value
    return found
