"""Take out Dropout, which does nothing but while training.

    x ── Dropout ── y     =>     x ── y

Why: pnnx dies of the input training_mode, and it costs time where it is kept.
Numbers: outside training the result is the input (ONNX operator specification, Dropout-13).
Refuses: nothing. A place is left whose mask is read, or that may be training.
"""

from surgery import Exact, Pass


class DropoutIdentity(Pass):
    operator = "Dropout"
    contract = Exact()

    def rewrite(self, op, node):
        training = node.inputs[2] if len(node.inputs) > 2 else None
        if training is not None and (training.constant is None or training.constant.any()):
            return op.skip("it may be training")
        if op.opset < 7 and not node.attr("is_test", 0):
            return op.skip("it is training")
        if any(value.ir.uses() or value.ir.is_graph_output() for value in node.outputs[1:] if value.name):
            return op.skip("its mask is read")
        x = op.Identity(node.inputs[0])
        return [x, *[None] * (len(node.outputs) - 1)] if len(node.outputs) > 1 else x
