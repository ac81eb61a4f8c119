"""Remove what an exporter leaves behind: identities, dead nodes, copies of constants, constant arithmetic.

    x ── Identity ── Conv ── y          =>      x ── Conv ── y
    Shape ── Gather ── Mul ── Reshape   =>      Reshape, where the dims are known
    W ── Transpose (25 times)           =>      one constant

``engine`` says who does it: onnxslim, onnxsim or onnx-graphsurgeon, each with fusions of its
own, or ``own``, which needs no extra and changes no bit of a result. Whoever it is, equal
constants are shared before and after, and nothing is folded that makes the file larger:
onnxslim and onnx-graphsurgeon alone store a weight that 25 steps of a GRU transpose 25 times.

Why: exporters write weights as nodes, Identity after Identity, and branches that nothing reads
(Paddle2ONNX 2: 908 Identity among 2931 nodes of a text recogniser); compilers take longer, or stop.
Numbers: an engine may fold BatchNormalization into Conv, and a bias into Gemm, so the last bits
move. Names, types and order of inputs and outputs, metadata, documentation, the opset and
external data stay.
Refuses: nothing. An engine that is not installed or that fails ends it, and nothing is written.
"""

from typing import Literal

from surgery import Close, Pass, optimize, tidy


class Cleanup(Pass):
    contract = Close(rtol=1e-5, atol=1e-6)
    engine: Literal["onnxslim", "onnxsim", "graphsurgeon", "own"] = "onnxslim"  # who does it

    def apply(self, model):
        gone = tidy(model)
        return gone if self.engine == "own" else gone + optimize(model, self.engine)
