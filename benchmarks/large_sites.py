"""Time and memory of verifying 40 places of three structures in a model of 3 GB, and in one of twice that.

    python -m benchmarks.large_sites [--gigabytes N]

The model is a row of MatMuls, its weights in one file of external data, of which a seeded sample is written
and the rest is a hole. At 20 places a HardSwish is spelt out, at 10 a MatMul and an Add become a Gemm, at 10
a Div becomes a Mul; the rest is untouched, and in the second model there is twice as much of it. The whole
model is never run (``--verify sites``). Judged are the peak memory, and the time that verifying takes of the
larger model beside that of the smaller.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks._measure import MEGA, Figures, measure
from surgery import Close, Exact, Pass, apply

SIZE = 4096  # of a square weight: 64 MiB each
WEIGHT = SIZE * SIZE * 4
PAGE = 4096
MOST = 600  # MB
RUNS = 3


class Affine(Pass):
    """MatMul and Add of a row to Gemm."""

    contract = Close(rtol=1e-5, atol=1e-6)

    def pattern(self, op, x, weight, bias):  # type: ignore[no-untyped-def]
        """What is replaced."""
        return op.Add(op.MatMul(x, weight), bias)

    def rewrite(self, op, match):  # type: ignore[no-untyped-def]
        """What comes in its place."""
        return op.Gemm(*match.inputs)


class Quarter(Pass):
    """Division by 4 to multiplication."""

    operator = "Div"
    contract = Exact()

    def rewrite(self, op, node):  # type: ignore[no-untyped-def]
        """What comes in its place."""
        return op.Mul(node.inputs[0], 0.25)


def write(path: Path, idle: int) -> None:
    """Write the model with `idle` weights that no pass touches, and the file that holds them."""
    nodes: list[onnx.NodeProto] = []
    tensors: list[TensorProto] = []
    last = "x"

    def node(operator: str, *inputs: str) -> None:
        nonlocal last
        nodes.append(helper.make_node(operator, [last, *inputs], [f"t{len(nodes)}"], name=f"node{len(nodes)}"))
        last = nodes[-1].output[0]

    def weight() -> str:
        tensor = TensorProto(name=f"w{len(tensors)}", dims=[SIZE, SIZE], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": f"{path.name}.data", "offset": len(tensors) * WEIGHT, "length": WEIGHT}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
        return tensor.name

    for _ in range(10):
        node("MatMul", weight())
        node("Add", "bias")
        for operator in ("HardSwish", "Div", "HardSwish"):
            node(operator, *(["four"] if operator == "Div" else []))
    for _ in range(idle):
        node("MatMul", weight())
        node("Tanh")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZE])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", SIZE])
    small = {"bias": np.linspace(-1, 1, SIZE, dtype=np.float32), "four": np.asarray(4, np.float32)}
    constants = [numpy_helper.from_array(value, name) for name, value in small.items()]
    graph = helper.make_graph(nodes, "large", [x], [y], [*tensors, *constants])
    opset = [helper.make_opsetid("", 14)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    draw = np.random.default_rng(0)
    with Path(f"{path}.data").open("wb") as data:
        data.truncate(len(tensors) * WEIGHT)
        for i in range(len(tensors)):
            for page in (0, *draw.integers(1, WEIGHT // PAGE, 15)):  # no two weights begin alike
                data.seek(i * WEIGHT + int(page) * PAGE)
                data.write(draw.standard_normal(PAGE // 4, np.float32).tobytes())


def once(source: Path, target: Path) -> None:
    """Apply the passes; prints the seconds from the moment that the file is written to the verdict."""
    written = 0.0

    def progress(step: str) -> None:
        nonlocal written
        if step == "comparing":
            written = time.perf_counter()

    result = apply(source, ["hardswish", Affine(), Quarter()], target, verify="sites", progress=progress)
    seconds = time.perf_counter() - written
    sites = result.report.verify.sites
    print(json.dumps({"seconds": seconds, "count": sites.count, "structures": sites.structures, "ok": result.ok}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--once", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        once(*arguments.once)
        return 0
    figures = Figures()
    idle = round(arguments.gigabytes * 2**30 / WEIGHT) - 10
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for title, count in (("as it is", idle), ("the rest doubled", 2 * idle)):
            source, target = Path(name) / "large.onnx", Path(name) / "made" / "large.onnx"
            write(source, count)
            target.parent.mkdir(exist_ok=True)
            for _ in range(RUNS):
                cost = measure([sys.executable, "-m", "benchmarks.large_sites", "--once", str(source), str(target)])
                found = json.loads(cost.output.splitlines()[-1])
                if not found["ok"] or (found["count"], found["structures"]) != (40, 3):
                    print(f"large_sites: not what it was to be: {found}")
                    return 1
                best[title] = min(found["seconds"], best.get(title, found["seconds"]))
                for old in target.parent.iterdir():
                    old.unlink()
            print(f"{title}: {10 + count} weights, verified in {best[title]:.2f} s, all in all {cost.seconds:.1f} s")
            figures.amount(f"{title}, peak memory", cost.peak / MEGA, MOST, "MB")
    small, large = best.values()
    figures.ratio("verifying, doubled", large, small, 1.15, "s")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
