"""Fix dims of the inputs, and put declared dims in order.

    x [-1, 3, ?, ?]                    =>      x [1, 3, 48, width]
    x ── Shape ── Slice ── Concat ─┐           x ── Reshape [1, 120, -1] ── y [1, 120, width]
    x ───────────────────────── Reshape ── y

``dims=batch=1;width=320`` fixes symbols, by the names that the model has or gets here, or an axis, ``x.2=48``;
``shape=x=1x3x48x?`` fixes an input, where ``?`` leaves a dim as it is. What is constant by then is folded: chains of
Shape, targets of Reshape and Expand, sizes of Resize (or its scales, where a dim stays free), NonZero of constants.
Without either, dims are put in order and nothing is folded: negative ones, ``?``, and names that exporters number
(``p2o.DynamicDimension.0``, ``unk__3``) become ``batch``, ``height``, ``width``, or the input's name and the axis;
outputs get the names of the inputs' dims that they have; declared shapes of inner tensors that contradict what the
nodes make are dropped.

Why: compilers want static shapes, or profiles of named dims (ATC --input_shape, TensorRT --minShapes), and read a
negative dim or ``?`` in ways of their own. Paddle2ONNX up to 1.3 writes both, and names the batch twice.
``python -m paddle2onnx.optimize --input_shape_dict`` writes -1 as a number, keeps stale shapes, with which ONNX Runtime
fails ("Shape mismatch attempting to re-use buffer"), and drops shapes of outputs that onnx's checker asks for.
Numbers: constants are folded by ONNX Runtime, with the kernels that would compute them. What reads one may round
otherwise: a constant matrix, say, is packed beforehand.
Refuses: dims that a node can't take, by its name; a dim that is already another number; two wishes for one dim.
What nodes make of dims is onnx's shape inference, node by node, with symbols. Where that loses an output's dim
(convolutions compute heights), it is tied to a dim of an input if inference at several unlike sizes gives that dim
each time; no data is run for it.
"""

import onnx_ir as ir

from rewrites.dims import called
from rewrites.dims.constants import fold, rescale, retarget
from rewrites.dims.declared import Declared
from rewrites.dims.inputs import Inputs
from surgery import Close, Contradiction, Edit, Extents, Pass, Refused


class FixDims(Pass):
    contract = Close()
    interface = ("dims",)
    dims: dict[str, int] = {}  # sizes by symbol, or by input and axis: batch=1;x.2=48
    shape: dict[str, str] = {}  # shapes by input: x=1x3x48x?

    def apply(self, model):
        inputs = Inputs([v for v in model.graph.inputs if v.const_value is None and isinstance(v.type, ir.TensorType)])
        bound = inputs.bind(self.dims, self.shape)
        edit = Edit(model, self.name)
        declared = Declared(model, inputs)
        try:
            extents = Extents(edit, inputs.dims)
            extents.walk()
            if extents.faults and bound:
                refuse(extents.faults, inputs, edit)
            places = inputs.declare()
            if self.dims or self.shape:
                folded = fold(edit, extents) + retarget(edit, extents) + rescale(edit, extents)
                places += folded
                known = f"from now on {', '.join(bound)}: " if bound else ""
                which = "1 node" if folded == 1 else f"{folded} nodes"
                self.note(f"{known}{which} became constant or gained a constant")
            for fault in extents.faults:
                self.note(f"{fault.node.name or fault.node.op_type} was at odds with its shapes before: {fault}")
            places += declared.outputs(extents, edit)
        except BaseException:
            declared.restore()
            raise
        return places + declared.inner(extents, trusted=places == 0)


def refuse(faults: list[Contradiction], inputs: Inputs, edit: Edit) -> None:
    """Refuse what a node can't take, unless it could not before either."""
    before = Extents(edit, inputs.free)
    before.walk()
    known = {fault.node for fault in before.faults}
    for fault in faults:
        if fault.node not in known:
            shapes = (f"{v.name} [{', '.join(map(str, dims))}]" for v, dims in inputs.dims.items())
            what = f"it can't take {'; '.join(shapes)}: {fault}"
            raise Refused(what, where=called(fault.node), cure="ask for other dims")
