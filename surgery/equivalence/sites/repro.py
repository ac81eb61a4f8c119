"""Write a failing cut down so that anyone can see it fail, with numpy and ONNX Runtime alone.

A folder holds ``before.onnx``, ``after.onnx``, ``inputs.npz`` and ``show.py``, a script of a few
lines. It needs nothing of ours, and goes into a report of a bug as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from surgery.equivalence.sites.cuts import Half
from surgery.protos import read_weight
from surgery.report import Finding

_SCRIPT = '''"""{title}

{detail}
Needs numpy and onnxruntime.
"""
from pathlib import Path

import numpy as np
import onnxruntime as ort

here = Path(__file__).parent
data = np.load(here / "inputs.npz")
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 4


def feed(name):  # an array, or a sequence of them
    return data[name] if name in data else [data[key] for key in data if key.startswith(name + ".")]


def run(name):
    session = ort.InferenceSession(here / f"{{name}}.onnx", options, providers=["CPUExecutionProvider"])
    result = session.run(None, {{i.name: feed(i.name) for i in session.get_inputs()}})[0]
    parts = [np.asarray(part) for part in (result if isinstance(result, list) else [result])]
    print(name, *(f"{{part.dtype}}{{list(part.shape)}}" for part in parts))
    return parts


before = run("before")
try:
    after = run("after")
except Exception as error:
    raise SystemExit(f"after does not run: {{error}}")
for a, b in zip(before, after):
    if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind not in "fiub":
        print("the same:", a.shape == b.shape and a.dtype == b.dtype and bool(np.all(a == b)))
        continue
    x, y = a.astype(float), b.astype(float)
    same = ((x == y) & (np.signbit(x) == np.signbit(y))) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, -1, np.nan_to_num(np.abs(x - y), nan=np.inf))
    print(f"{{np.count_nonzero(~same)}} of {{same.size}} elements differ")
    for at in np.argsort(-gap, axis=None)[:5]:
        if not same.flat[at]:
            print(f"  at {{[int(i) for i in np.unravel_index(at, a.shape)]}}: {{a.flat[at]}} became {{b.flat[at]}}")
'''


def write(folder: Path, finding: Finding, before: Half, after: Half, feeds: Mapping[str, Any]) -> Path:
    """Write the reproduction of one finding.

    Args:
        folder: where; a folder named after the tensor is made in it.
        finding: what it shows.
        before: the half of the model before.
        after: the half of the model after.
        feeds: the inputs on which they differ.

    Returns:
        The folder of this reproduction.
    """
    target = folder / (re.sub(r"[^\w.-]+", "_", finding.tensor).strip("._")[:80] or "claim")
    target.mkdir(parents=True, exist_ok=True)
    for name, half in (("before", before), ("after", after)):
        onnx.save(_complete(half), target / f"{name}.onnx")
    arrays: dict[str, Any] = {}
    for key, value in feeds.items():
        arrays |= {f"{key}.{i:04}": v for i, v in enumerate(value)} if isinstance(value, list) else {key: value}
    np.savez(target / "inputs.npz", **arrays)
    title = f"{finding.tensor}: {finding.why}."
    detail = f"before: {finding.before}\nafter: {finding.after}\nvalues: {finding.family}"
    script = _SCRIPT.format(title=_safe(title), detail=_safe(detail))
    (target / "show.py").write_text(script, encoding="utf-8")
    return target


def _safe(text: str) -> str:
    return text.replace("\\", "/").replace('"""', "'''")


def _complete(half: Half) -> onnx.ModelProto:
    """The model of a half with its weights in it, and its nodes named as in the model."""
    proto = onnx.ModelProto()
    proto.CopyFrom(half.proto)
    for tensor in proto.graph.initializer:
        name = tensor.name
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(read_weight(tensor, half.folder), name))
    taken: set[str] = set()
    for node, label in zip(proto.graph.node, half.labels, strict=True):
        if label not in taken:  # two of one name are refused; the rest keeps its number
            node.name = label
            taken.add(label)
    del proto.graph.output[1:]
    return onnx.shape_inference.infer_shapes(proto)  # which gives the output its type
