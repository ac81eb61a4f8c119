"""End the graph at other tensors, and drop what lies behind them.

    x ── Conv ── a ── Softmax ── y          =>      x ── Conv ── a

``outputs=a;b`` names the new outputs, in order; an old one stays only if it is named too. Nodes, weights and inputs
that none of them depends on go.

Why: post-processing is often done better outside of the model (NMS, Softmax, ArgMax of a large map), and compilers
stop at it.
Numbers: every new output is bit for bit the tensor of that name before.
Refuses: an output that no node of the main graph makes, or whose element type is not known.
"""

import onnx_ir as ir

from surgery import BadInput, Edit, Exact, Pass, Refused, drop_dead, find_tensor


class Cut(Pass):
    contract = Exact()
    interface = ("inputs", "outputs")
    outputs: list[str]  # names of tensors

    def apply(self, model):
        if not self.outputs:
            raise BadInput("no output is named", cure="outputs=NAME;NAME")
        edit, graph = Edit(model, self.name), model.graph
        values = list(dict.fromkeys(find_tensor(model, name) for name in self.outputs))
        if values == list(graph.outputs):
            return 0
        for value in values:
            if value.producer() is None or value.graph is not graph:
                raise Refused(
                    "it can't be an output: no node of the main graph makes it",
                    where=value.name or "",
                    cure="name what a node makes of it",
                )
            dtype, shape = edit.shapes.dtype(value), edit.shapes.shape(value)
            if value.type is None:
                if dtype is None:
                    raise Refused("it can't be an output: its element type is unknown", where=value.name or "")
                value.type = ir.TensorType(ir.DataType.from_numpy(dtype))
            if value.shape is None and shape is not None:
                value.shape = ir.Shape(shape)
        graph.outputs[:] = values
        gone = drop_dead(model)
        graph.inputs[:] = [v for v in graph.inputs if v.uses()]
        return max(gone, 1)
