"""Memory of one pass over a model with 3 GB of weights beside it.

    python -m benchmarks.large_weights [--gigabytes N] [--graphsurgeon]

The model is a row of MatMul and HardSwish, its weights in one file of external data, of which a seeded
sample is written and the rest is a hole: it takes little disk, and reads as zeros. With
--graphsurgeon the same edit by onnx-graphsurgeon is measured beside it; it takes 9 GB of memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks._measure import MEGA, Figures, measure, surgery

SIZE = 4096  # of a square weight: 64 MiB each
WEIGHT = SIZE * SIZE * 4
PAGE = 4096
MOST = 300  # MB


def write(path: Path, weights: int) -> None:
    """Write the model of so many weights, and the file that holds them."""
    nodes, tensors = [], []
    last = "x"
    for i in range(weights):
        tensor = TensorProto(name=f"w{i}", dims=[SIZE, SIZE], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": f"{path.name}.data", "offset": i * WEIGHT, "length": WEIGHT}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
        nodes += [
            helper.make_node("MatMul", [last, tensor.name], [f"m{i}"], name=f"matmul{i}"),
            helper.make_node("HardSwish", [f"m{i}"], [f"h{i}"], name=f"hardswish{i}"),
        ]
        last = f"h{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZE])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", SIZE])
    graph = helper.make_graph(nodes, "large", [x], [y], tensors)
    opset = [helper.make_opsetid("", 14)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    draw = np.random.default_rng(0)
    with Path(f"{path}.data").open("wb") as data:
        data.truncate(weights * WEIGHT)
        for i in range(weights):
            for page in draw.integers(0, WEIGHT // PAGE, 16):
                data.seek(i * WEIGHT + int(page) * PAGE)
                data.write(draw.standard_normal(PAGE // 4, np.float32).tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--graphsurgeon", action="store_true")
    arguments = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "large.onnx"
        write(source, round(arguments.gigabytes * 2**30 / WEIGHT))
        target = folder / "ours" / "large.onnx"
        target.parent.mkdir()
        options = ["--pass", "hardswish", "--verify", "none", "-o", str(target)]
        mine = measure([*surgery(), "apply", str(source), *options])
        print(f"surgery: {mine.seconds:.1f} s")
        figures.amount("surgery, peak memory", mine.peak / MEGA, MOST, "MB")
        if arguments.graphsurgeon:
            peer = folder / "peer" / "large.onnx"
            peer.parent.mkdir()
            own = [sys.executable, "-m", "benchmarks.large_graph", "--once", "graphsurgeon"]
            cost = measure([*own, str(source), str(peer)])
            print(f"graphsurgeon: {cost.seconds:.1f} s, {cost.peak / MEGA:.0f} MB")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
