"""Remove what an exporter leaves behind: identities, dead nodes, copies of constants, constant arithmetic.

    x ── Identity ── Conv ── y                  =>      x ── Conv ── y
    W ── Transpose, for each of 25 steps        =>      one constant, transposed
    a ── Shape ── Gather ── Mul (a constant)    =>      a constant

``engine`` says who does it: onnxslim, onnxsim or onnx-graphsurgeon, each with fusions of its own, or ``own``, which
needs no extra and fuses nothing. Whoever it is, equal constants are shared before and after, and nothing is folded
that makes the file larger: onnxslim and onnx-graphsurgeon alone store a weight that each step of a GRU transposes once
for each step. An engine runs in a process of its own, and what it prints is not shown.

Why: exporters write weights as nodes, Identity after Identity, and branches that nothing reads (Paddle2ONNX 2: 908
Identity among the 2931 nodes of a text recogniser); compilers take longer for it, or stop.
Numbers: an engine folds BatchNormalization into Conv, and a bias into Gemm, so the last bits move. Names, types and
order of inputs and outputs, metadata, documentation, the opset and external data stay.
Refuses: nothing. Where an engine is not installed, or fails, nothing is written.
"""

from typing import Literal

from surgery import Close, Pass, optimize, tidy


class Cleanup(Pass):
    contract = Close(rtol=1e-5, atol=1e-6)
    engine: Literal["onnxslim", "onnxsim", "graphsurgeon", "own"] = "onnxslim"  # who does it

    def apply(self, model):
        return tidy(model) if self.engine == "own" else optimize(model, self.engine)
