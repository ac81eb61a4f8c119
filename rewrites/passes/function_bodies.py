"""Spell an operator by those that ONNX itself defines it by.

    x ── Mish ── y      =>      x ─┬─ Softplus ── Tanh ─┐
                                   └──────── Mul ───────┴─ y

``operators=Mish;Swish`` names them; without it, those are taken that came with opset 15 or later.

Why: compilers follow the standard by years; MNN 3.6.1 lacks Mish, Swish, RMSNormalization, Attention and
RotaryEmbedding, ncnn also Softsign, ThresholdedRelu and Hardmax; neither applies the bias of Shrink.
Numbers: the function bodies of the ONNX operator specification, which are what the operators mean; sums may be
taken in another order.
Refuses: an operator named that ONNX defines by no others. A place is left whose body needs a type that is unknown.
"""

from surgery import BadInput, Close, Pass

NEW = (
    *("Mish", "Swish", "Gelu", "RMSNormalization", "RotaryEmbedding", "Attention", "GroupNormalization"),
    *("BlackmanWindow", "HammingWindow", "HannWindow", "CenterCropPad", "AffineGrid", "LinearAttention"),
)


class FunctionBodies(Pass):
    operator = (
        *NEW,
        "Softsign",
        "ThresholdedRelu",
        "Hardmax",
        "Celu",
        "Elu",
        "Selu",
        "Softplus",
        "HardSwish",
        "Range",
        "Shrink",
    )
    contract = Close(rtol=1e-4, atol=1e-5)
    domain = {"X": (-1e15, 1e15), "input": (-1e15, 1e15), "Q": (-1e3, 1e3), "K": (-1e3, 1e3), "V": (-1e15, 1e15)}
    operators: list[str] = []  # to take; none named takes those of opset 15 and later

    def rewrite(self, op, node):
        for name in self.operators:
            if name not in type(self).operator:
                raise BadInput(f"{name} is not among the operators that this pass knows", cure=", ".join(self.operator))
        if node.op_type not in (self.operators or NEW):
            return op.skip("it was not asked for")
        attributes = {name: node.attr(name) for name in node.ir.attributes}
        made = op.body(node.op_type, node.inputs, attributes, len(node.outputs))
        if made is None:
            return op.skip("ONNX defines it by no others here")
        return made[: len(node.outputs)] if isinstance(made, list) else made
