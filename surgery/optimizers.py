"""Run an optimizer that others keep, in a process of its own, and keep what it loses.

onnxslim, onnxsim and onnx-graphsurgeon are made for the command line: they print, hold a model
several times in memory, and some end the process. So each runs as a child, from file to file.
Of what comes back the nodes and weights are taken; names, types and notes of the model stay.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.errors import Missing, SurgeryError

if TYPE_CHECKING:
    import onnx_ir as ir

EXTRAS = {"onnxslim": "slim", "onnxsim": "sim", "graphsurgeon": "graphsurgeon"}
_PACKAGES = {"graphsurgeon": "onnx_graphsurgeon"}
_INLINE = 1 << 30  # bytes; larger models are handed back with their weights in a file beside
# Bytes. What pays off is folded before an engine runs; more than this it may not put in the place of a node.
_FOLDED = 1024


def optimize(model: ir.Model, engine: str) -> int:
    """Tidy `model`, let `engine` simplify it, and tidy what comes of that.

    Inputs and outputs keep their names, types and order, the model its metadata and documentation.
    What makes the model larger than it was is dropped.

    Args:
        model: edited in place; its graph becomes another object, whose weights are mapped.
        engine: a key of `EXTRAS`.

    Returns:
        How many nodes and constants went, or 1 if the graph changed otherwise; 0 if it did not.

    Raises:
        Missing: the engine is not installed, or failed.
    """
    from surgery.clean import tidy
    from surgery.model import adopt, load, save, size

    if importlib.util.find_spec(_PACKAGES.get(engine, engine)) is None:
        raise Missing(f"{engine} is not installed", cure=f"pip install 'onnx-surgery[{EXTRAS[engine]}]', or engine=own")
    largest = size(model)
    gone = tidy(model)
    with tempfile.TemporaryDirectory(prefix="surgery-") as folder:
        source, target = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        save(model, source)
        _run(engine, source, target)
        try:
            made = load(target)  # it stays mapped when the folder is gone
        except SurgeryError as error:
            raise _failed(engine, f"what it wrote can't be used: {error.what}") from error
    _keep(model, made, engine)
    tidy(made, largest - size(made))
    if _signature(made) == _signature(model) or size(made) > largest:
        return gone
    gone += len(model.graph) - len(made.graph)
    adopt(model, made)
    return max(gone, 1)


def _signature(model: ir.Model) -> Counter[object]:
    """Nodes and constants, whatever their names and order."""
    import onnx_ir as ir

    from surgery.clean import glance
    from surgery.nested import graphs

    found: Counter[object] = Counter()
    for graph in graphs(model):
        found.update(glance(v.const_value) for v in graph.initializers.values() if v.const_value is not None)
        for node in graph:
            proto = ir.to_proto(node)
            shape = len(proto.input), len(proto.output)
            for field in ("name", "input", "output", "doc_string", "metadata_props"):
                proto.ClearField(field)
            attributes = sorted(a.SerializeToString(deterministic=True) for a in proto.attribute)
            found[proto.domain, proto.op_type, *shape, *attributes] += 1
    return found


def _run(engine: str, source: Path, target: Path) -> None:
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "surgery.optimizers", engine, str(source), str(target)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": path},
        cwd=target.parent,
    )
    if done.returncode == 0 and target.is_file():
        return
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    told = lines[-1].strip()[:300] if lines else "it says nothing"
    raise _failed(engine, told if done.returncode >= 0 else f"it was ended by signal {-done.returncode}; {told}")


def _failed(engine: str, why: str) -> Missing:
    return Missing(f"{engine} failed on this model: {why}", cure="another engine may do: engine=own needs none")


def _keep(model: ir.Model, made: ir.Model, engine: str) -> None:
    """Give `made` what `model` has beside nodes and weights."""
    import onnx_ir as ir

    from surgery.nested import graphs

    for kind in ("inputs", "outputs"):
        ours, theirs = ([v.name for v in getattr(m.graph, kind)] for m in (model, made))
        if ours != theirs:
            raise _failed(engine, f"the {kind} were {ours} and are {theirs}")
    if model.opset_imports.get("", 1) != made.opset_imports.get("", 1):
        raise _failed(engine, f"the opset was {model.opset_imports.get('')} and is {made.opset_imports.get('')}")
    for field in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(made, field, getattr(model, field))
    for old, new in ((model, made), (model.graph, made.graph)):
        new.doc_string = old.doc_string
        new.metadata_props.clear()
        new.metadata_props.update(old.metadata_props)
    made.graph.name = model.graph.name
    values: dict[str | None, ir.Value] = {}
    nodes: dict[tuple[Any, ...], ir.Node] = {}
    for graph in graphs(model):
        for node in graph:
            nodes[_key(node)] = node
            values.update((v.name, v) for v in node.outputs)
    for graph in graphs(made):
        for node in graph:
            same = nodes.get(_key(node))
            if same is not None:
                node.doc_string = same.doc_string
                node.metadata_props.update(same.metadata_props)
            for value in node.outputs:  # a model gains no value_info by being cleaned
                known = values.get(value.name)
                if graph is made.graph or known is not None:
                    value.type, value.shape = (None, None) if known is None else (known.type, known.shape)
                _annotate(known, value)
    ours = [*model.graph.inputs, *model.graph.outputs]
    for old_value, value in zip(ours, [*made.graph.inputs, *made.graph.outputs], strict=True):
        value.type = old_value.type
        value.shape = None if old_value.shape is None else ir.Shape(old_value.shape)
        _annotate(old_value, value)
    for name, value in made.graph.initializers.items():
        _annotate(model.graph.initializers.get(name or ""), value)


def _annotate(old: ir.Value | None, new: ir.Value) -> None:
    """Documentation, metadata, the meaning of dims, and annotations."""
    if old is None:
        return
    new.doc_string = old.doc_string
    new.metadata_props.update(old.metadata_props)
    new.meta.update(old.meta)


def _key(node: ir.Node) -> tuple[Any, ...]:
    return node.domain, node.op_type, node.name, node.outputs[0].name if node.outputs else ""


def _main(engine: str, source: str, target: str) -> None:
    """In the child: from file to file."""
    import onnx

    model: Any = None
    if engine == "onnxslim":
        import onnxslim

        model = onnxslim.slim(source, size_threshold=_FOLDED)
    elif engine == "onnxsim":
        import onnxsim

        model, _ = onnxsim.simplify(source, tensor_size_threshold=f"{_FOLDED}B")
    else:
        import onnx_graphsurgeon

        graph = onnx_graphsurgeon.import_onnx(onnx.load(source))
        model = onnx_graphsurgeon.export_onnx(graph.fold_constants(size_threshold=_FOLDED).cleanup().toposort())
    large = sum(tensor.ByteSize() for tensor in model.graph.initializer) > _INLINE
    onnx.save(model, target, save_as_external_data=large, location="weights", size_threshold=1024)


if __name__ == "__main__":
    _main(*sys.argv[1:])
