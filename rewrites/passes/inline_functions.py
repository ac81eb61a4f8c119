"""Put the bodies of a model's own functions where they are called.

    x ── mylib::Gelu ── y      =>      x ── Erf ── ... ── Mul ── y

Why: OpenVINO 2026.4.1 and MNN 3.6.1 do not read functions that a model brings (ONNX IR specification,
Functions); ATC's parser knows the standard operators only.
Numbers: the same nodes on the same values.
Refuses: nothing; a model without functions is left as it is.
"""

from onnx_ir.passes.common import InlinePass

from surgery import Exact, Pass


class InlineFunctions(Pass):
    contract = Exact()

    def apply(self, model):
        calls = sum(node.op_identifier() in model.functions for node in model.graph.all_nodes())
        if calls:
            InlinePass()(model)
        return calls
