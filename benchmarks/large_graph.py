"""One edit at 10,000 places of 100,000 nodes, against onnx-graphsurgeon making the same edit.

    python -m benchmarks.large_graph [--runs N] [--nodes N]

Every HardSwish becomes HardSigmoid and Mul. Load, edit and save are measured as one process each;
the pass alone is measured at a tenth of the nodes too, for it must not grow faster than the graph.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks._measure import MEGA, Figures, in_turn, peak, seconds

BLOCK = 10  # nodes, one of them a HardSwish
MOST_TIME, MOST_MEMORY = 0.5, 0.75  # of graphsurgeon's
MOST_GROWTH = 12  # of the pass, for ten times the nodes


def chain(nodes: int) -> onnx.ModelProto:
    """A chain of blocks, each of which forks in three and joins again."""
    made = []
    last = "x"
    for i in range(nodes // BLOCK):
        v = [f"b{i}_{j}" for j in range(BLOCK)]
        steps = [
            ("Mul", [last, f"scale{i % 100}"]),
            ("HardSwish", [v[0]]),
            ("Relu", [v[0]]),
            ("Neg", [v[0]]),
            ("Add", [v[1], v[2]]),
            ("Tanh", [v[3]]),
            ("Add", [v[4], v[5]]),
            ("Sigmoid", [v[6]]),
            ("Mul", [v[6], v[7]]),
            ("Add", [v[8], last]),
        ]
        made += [helper.make_node(op, ins, [v[j]], name=f"n{i}_{j}") for j, (op, ins) in enumerate(steps)]
        last = v[-1]
    draw = np.random.default_rng(0)
    scales = [
        numpy_helper.from_array(draw.uniform(-0.1, 0.1, 16).astype(np.float32), f"scale{i}")
        for i in range(100)
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", 16])
    graph = helper.make_graph(made, "chain", [x], [y], scales)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def ours(source: str, target: str) -> None:
    """Load, edit and save with surgery; print how long the pass itself took."""
    import surgery

    result = surgery.apply(source, ["hardswish"], verify="none")
    assert result.model is not None
    surgery.save(result.model, target)
    print(json.dumps(result.report.passes[0].seconds))


def graphsurgeon(source: str, target: str) -> None:
    """Load, edit and save with onnx-graphsurgeon."""
    import onnx_graphsurgeon as gs

    graph = gs.import_onnx(onnx.load(source))
    for node in [n for n in graph.nodes if n.op == "HardSwish"]:
        x, y = node.inputs[0], node.outputs[0]
        gate = gs.Variable(f"{node.name}_gate", dtype=x.dtype, shape=x.shape)
        attributes = {"alpha": 1 / 6, "beta": 0.5}
        graph.nodes.append(gs.Node("HardSigmoid", f"{node.name}_gate", attributes, [x], [gate]))
        node.outputs.clear()
        node.inputs.clear()
        graph.nodes.append(gs.Node("Mul", f"{node.name}_mul", inputs=[x, gate], outputs=[y]))
    graph.cleanup().toposort()
    outside = Path(f"{source}.data").exists()  # more than one protobuf message holds
    onnx.save(gs.export_onnx(graph), target, save_as_external_data=outside)


def check(path: Path, nodes: int) -> None:
    """Both must have made the edit that they are measured for."""
    count = Counter(n.op_type for n in onnx.load(path).graph.node)
    places = nodes // BLOCK
    if count["HardSwish"] or count["HardSigmoid"] != places or count["Mul"] != 3 * places:
        raise SystemExit(f"{path.stem} did not make the edit: {dict(count)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--only", choices=["ours", "graphsurgeon"], help="measure one of the two")
    parser.add_argument("--once", nargs=3, metavar=("WHO", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        who, source, target = arguments.once
        {"ours": ours, "graphsurgeon": graphsurgeon}[who](source, target)
        return 0
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small = folder / "large.onnx", folder / "small.onnx"
        onnx.save(chain(arguments.nodes), large)
        onnx.save(chain(arguments.nodes // 10), small)

        def once(who: str, source: Path) -> list[str]:
            own = [sys.executable, "-m", "benchmarks.large_graph", "--once"]
            return [*own, who, str(source), str(folder / f"{who}.onnx")]

        wanted = [arguments.only] if arguments.only else ["ours", "graphsurgeon"]
        costs = in_turn({who: once(who, large) for who in wanted}, arguments.runs)
        for who in wanted:
            check(folder / f"{who}.onnx", arguments.nodes)
            print(f"{who}: {seconds(costs[who]):.2f} s, {peak(costs[who]) / MEGA:.0f} MB")
        if len(costs) == 2:
            mine, peer = costs["ours"], costs["graphsurgeon"]
            figures.ratio("load, edit, save: time", seconds(mine), seconds(peer), MOST_TIME, "s")
            figures.ratio("peak memory", peak(mine) / MEGA, peak(peer) / MEGA, MOST_MEMORY, "MB")
        if "ours" in costs:
            alone: dict[Path, list[float]] = {large: [], small: []}
            for _ in range(arguments.runs):
                for source, took in alone.items():
                    took.append(json.loads(subprocess.check_output(once("ours", source))))
            figures.ratio("the pass, x10 nodes", median(alone[large]), median(alone[small]), MOST_GROWTH, "s")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
