"""Switch how Resize interpolates: nearest, linear or cubic, with the coordinates that torch means by it.

    x ── Resize nearest, asymmetric, floor ── y     =>      x ── Resize linear, half_pixel ── z

``align_corners=1`` is torch's option of that name. ``nodes=/neck/*`` takes only nodes whose names, or those of their
first outputs, match; others, and those that have the mode already, stay as they are.

Why: networks are trained with one mode and exported with another, or are to be run by a compiler that has the one and
not the other (ncnn: nearest with asymmetric and floor alone; ATC: no cubic). mmocr's PANet, DBNet and PSENet write
nearest into their code, where no option reaches it (mmocr 1.0.1, FPEM._upsample_add, FPNC, FPNF).
Numbers: results change on purpose, and are those of torch.nn.functional.interpolate in the other mode: nearest reads
the pixel floor(i * scale) (asymmetric, floor); linear and cubic sample between the middles of pixels (half_pixel), or
with align_corners between those of the first and last. To switch the mode alone is about as wrong as not to switch.
Cubic has torch's kernel, a = -0.75.
Refuses: nothing. It leaves, and says so: what crops or smooths (tf_crop_and_resize, antialias), whole numbers, which
are not to be interpolated, cubic where there are not four axes, and Resize and Upsample below opset 11 where what is
asked can't be said there: they have nearest, and linear with coordinates that torch does not have.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal

import onnx_ir as ir

from surgery import BadInput, Changes, Edit, Pass

# As they are written, by the mode; what `align_corners` says comes on top.
COORDINATES = {"nearest": "asymmetric", "linear": "half_pixel", "cubic": "half_pixel"}
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)


class UpsampleMode(Pass):
    contract = Changes("pictures are resized in another mode")
    mode: Literal["nearest", "linear", "cubic"] = "linear"  # what they are to have
    align_corners: bool = False  # of torch, for linear and cubic
    nodes: str = "*"  # which, by a glob of their names

    def apply(self, model):
        if self.align_corners and self.mode == "nearest":
            raise BadInput("nearest has no align_corners", cure="it goes with linear and cubic")
        edit = Edit(model, self.name, same_values=False)
        found = [(n, o) for n, o in every(model) if n.domain == "" and n.op_type in ("Resize", "Upsample")]
        chosen = [(n, o) for n, o in found if any(fnmatchcase(name, self.nodes) for name in names(n))]
        if not chosen and self.nodes != "*":
            there = ", ".join(names(n)[0] for n, _ in found)
            cure = f"there is: {there}" if there else "the model has none"
            raise BadInput(f"no Resize matches {self.nodes!r}", where="nodes", cure=cure)
        places = 0
        for node, opset in chosen:
            if mode_of(node) == self.mode:
                continue
            why = self.obstacle(node, opset, edit)
            if why:
                self.note(f"{names(node)[0]} stays {mode_of(node)}: {why}")
            else:
                self.switch(node, opset, edit)
                places += 1
        return places

    def obstacle(self, node: ir.Node, opset: int, edit: Edit) -> str:
        """Why a node can't be switched; empty if it can."""
        if opset < 11 and self.mode != "nearest":
            return f"{node.op_type} of opset {opset} can't say torch's {self.mode}; opset 11 can"
        if text(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            return "it crops"
        antialias = node.attributes.get("antialias")
        if antialias is not None and antialias.as_int():
            return "it smooths (antialias)"
        source = node.inputs[0]
        element = None if source is None else edit.shapes.element(source)
        if self.mode != "nearest" and element is not None and element not in FLOATS:
            return f"{element.name.lower()} is not to be interpolated"
        shape = None if source is None else edit.shapes.shape(source)
        if self.mode == "cubic" and shape is not None and len(shape) != 4:
            return "cubic is for pictures, [N, C, H, W]"
        return ""

    def switch(self, node: ir.Node, opset: int, edit: Edit) -> None:
        """Set the mode, and the coordinates that belong to it."""
        values: dict[str, str] = {"mode": self.mode}
        if opset >= 11:
            values["coordinate_transformation_mode"] = "align_corners" if self.align_corners else COORDINATES[self.mode]
            if self.mode == "nearest":
                values["nearest_mode"] = "floor"
        for name, value in values.items():
            node.attributes[name] = ir.AttrString(name, value)
        if self.mode == "cubic":  # the defaults of the operator, and torch's
            node.attributes.pop("cubic_coeff_a", None)
            node.attributes.pop("exclude_outside", None)
        output = node.outputs[0]
        if not output.is_graph_output():  # it has another value, so another name
            output.name = edit.unique(f"{output.name}/{self.mode}")


def every(model: ir.Model) -> Iterator[tuple[ir.Node, int]]:
    """Every node, of sub-graphs and functions too, with the version of its operator."""
    roots: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for root in roots:
        for node in ir.traversal.RecursiveGraphIterator(root):
            yield node, root.opset_imports.get(node.domain, 1)


def names(node: ir.Node) -> list[str]:
    """The names of a node: its own, if it has one, and its output's."""
    return [name for name in (node.name, node.outputs[0].name) if name]


def text(node: ir.Node, name: str, default: str = "") -> str:
    """An attribute that is text."""
    found = node.attributes.get(name)
    return default if found is None or found.is_ref() else found.as_string()


def mode_of(node: ir.Node) -> str:
    """How a node interpolates."""
    return text(node, "mode", "nearest")
