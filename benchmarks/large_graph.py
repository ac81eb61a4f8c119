"""One edit at 10,000 places of 100,000 nodes, against onnx-graphsurgeon making the same edit.

    python -m benchmarks.large_graph [--runs N] [--nodes N]

Every HardSwish becomes HardSigmoid and Mul. Each measurement is a process of its own: from before the
model is read to after it is written, by its own clock; its start and end are printed beside that. The
pass alone is measured at a tenth of the nodes too, for it must not grow faster than the graph.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks._measure import MEGA, Cost, Figures, measure, peak, seconds

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
    scales = [numpy_helper.from_array(draw.uniform(-0.1, 0.1, 16).astype(np.float32), f"scale{i}") for i in range(100)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", 16])
    graph = helper.make_graph(made, "chain", [x], [y], scales)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def ours(source: str, target: str) -> dict[str, float]:
    """Load, edit and save with surgery; how long that took, and the pass in it."""
    from surgery import apply, save

    start = time.perf_counter()
    result = apply(source, ["hardswish"], verify="none")
    assert result.model is not None
    save(result.model, target)
    return {"all": time.perf_counter() - start, "pass": result.report.passes[0].seconds}


def graphsurgeon(source: str, target: str) -> dict[str, float]:
    """Load, edit and save with onnx-graphsurgeon; how long that took."""
    import onnx_graphsurgeon as gs

    start = time.perf_counter()
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
    return {"all": time.perf_counter() - start}


WHO: dict[str, Callable[[str, str], dict[str, float]]] = {"ours": ours, "graphsurgeon": graphsurgeon}


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
    parser.add_argument("--only", choices=WHO, help="measure one of the two")
    parser.add_argument("--once", nargs=3, metavar=("WHO", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        who, source, target = arguments.once
        Path(f"{target}.json").write_text(json.dumps(WHO[who](source, target)))
        return 0
    wanted = [arguments.only] if arguments.only else list(WHO)
    runs = [(who, nodes) for nodes in (arguments.nodes, arguments.nodes // 10) for who in wanted]
    took: dict[tuple[str, int], list[dict[str, float]]] = {run: [] for run in runs}
    costs: dict[tuple[str, int], list[Cost]] = {run: [] for run in runs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for nodes in {nodes for _, nodes in runs}:
            onnx.save(chain(nodes), folder / f"{nodes}.onnx")
        for _ in range(arguments.runs):
            for who, nodes in runs:
                target = folder / f"{who}.onnx"
                own = [sys.executable, "-m", "benchmarks.large_graph", "--once", who]
                costs[who, nodes].append(measure([*own, str(folder / f"{nodes}.onnx"), str(target)]))
                took[who, nodes].append(json.loads(Path(f"{target}.json").read_text()))
                check(target, nodes)

    figures = Figures()
    large, small = arguments.nodes, arguments.nodes // 10
    whole = {who: median(t["all"] for t in took[who, large]) for who in wanted}
    for who in wanted:
        cost = costs[who, large]
        print(f"{who}: {whole[who]:.2f} s, {peak(cost) / MEGA:.0f} MB; {seconds(cost):.2f} s with start and end")
    if len(wanted) == len(WHO):
        mine, peer = (peak(costs[who, large]) / MEGA for who in WHO)
        figures.ratio("load, edit, save: time", whole["ours"], whole["graphsurgeon"], MOST_TIME, "s")
        figures.ratio("peak memory", mine, peer, MOST_MEMORY, "MB")
    if "ours" in wanted:
        alone = {n: median(t["pass"] for t in took["ours", n]) for n in (large, small)}
        figures.ratio("the pass, x10 nodes", alone[large], alone[small], MOST_GROWTH, "s")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
