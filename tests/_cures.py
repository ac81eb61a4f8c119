"""Verify what a pass does to a small model in this process, and run models side by side; for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from surgery.engine import _promised
from surgery.equivalence.baseline import Baseline, Settings
from surgery.equivalence.examination import examine
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.registry import make
from surgery.report import PassReport, Verification


def rewritten(model: onnx.ModelProto, name: str) -> tuple[onnx.ModelProto, PassReport]:
    """The model after a pass, and what the pass did."""
    edited, report = run_pass(from_proto(model), make(name))
    return ir.to_proto(edited), report


def verified(before: onnx.ModelProto, after: onnx.ModelProto, name: str, folder: Path) -> Verification:
    """What `apply` would say of the pass `name`, sites too, without the process that it starts."""
    paths = [folder / "before.onnx", folder / "after.onnx"]
    for path, model in zip(paths, (before, after), strict=True):
        onnx.save(model, path)
    baseline = Baseline(Settings(paths[0]), lambda text: None)
    baseline.find()
    return examine(baseline, paths[1], locate=False, **_promised([make(name)], "full"))


def session(model: onnx.ModelProto) -> ort.InferenceSession | None:
    """The model in ONNX Runtime with optimisation off; None where it is not taken."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # the runtime raises its own kinds
        return None


def feeds(model: onnx.ModelProto, free: int) -> dict[str, np.ndarray]:
    """Seeded inputs; dims without a number are `free`, integers 0 and 1, which every index may be."""
    random = np.random.default_rng(free)
    made = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value or free for d in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        numbers: Any = random.normal(size=shape) if dtype.kind == "f" else random.integers(0, 2, shape)
        made[value.name] = np.asarray(numbers).astype(dtype)
    return made


def side_by_side(before: onnx.ModelProto, after: onnx.ModelProto, *, free: int) -> bool:
    """Assert equal results within the rounding of their type; False where the runtime takes no model before."""
    one = session(before)
    if one is None:
        return False
    given = feeds(before, free)
    try:
        expected = one.run(None, given)
    except Exception:  # these sizes are not for this model
        return False
    other = session(after)
    if other is None:
        return False  # it has the operators for other types
    for new, good in zip(other.run(None, given), expected, strict=True):
        assert (new.shape, new.dtype) == (good.shape, good.dtype)
        coarse = {2: 2e-2, 4: 2e-4, 8: 1e-4}.get(good.dtype.itemsize if good.dtype.kind == "f" else 0, 0.0)
        scale = float(np.abs(good[np.isfinite(good)]).max(initial=1.0)) if good.dtype.kind == "f" else 1.0
        np.testing.assert_allclose(new, good, rtol=0, atol=coarse * scale)
    return True


FLIPPED = {
    "Max": "Min",
    "Min": "Max",
    "Add": "Sub",
    "Sub": "Add",
    "Floor": "Ceil",
    "Relu": "Abs",
    "Neg": "Abs",
    "Mul": "Add",
    "Sign": "Abs",
}


def spoilt(before: onnx.ModelProto, after: onnx.ModelProto) -> list[onnx.ModelProto]:
    """What the pass would give if it were wrong: a constant off by a twentieth, an operator for its opposite, a part
    taken elsewhere, an attribute that is another number."""
    known = {t.name for t in before.graph.initializer} | {n.output[0] for n in before.graph.node}
    found = []
    for i, tensor in enumerate(after.graph.initializer):
        array = onnx.numpy_helper.to_array(tensor)
        if tensor.name in known or not array.size:
            continue
        wrong = onnx.ModelProto.FromString(after.SerializeToString())
        if array.dtype.kind == "f":
            array = (array * array.dtype.type(0.95)).astype(array.dtype)
        else:
            array = array[::-1] if array.ndim else array + 1
        wrong.graph.initializer[i].CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        found.append(wrong)
    for i, node in enumerate(after.graph.node):
        if node.op_type in FLIPPED:
            wrong = onnx.ModelProto.FromString(after.SerializeToString())
            wrong.graph.node[i].op_type = FLIPPED[node.op_type]
            found.append(wrong)
        if node.op_type in ("Concat", "Sub", "Div", "Gather", "Where") and len(set(node.input)) > 1:
            wrong = onnx.ModelProto.FromString(after.SerializeToString())
            swapped = list(node.input)[::-1]
            del wrong.graph.node[i].input[:]
            wrong.graph.node[i].input.extend(swapped)
            found.append(wrong)
        for k, attribute in enumerate(node.attribute):
            if attribute.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.FLOAT):
                wrong = onnx.ModelProto.FromString(after.SerializeToString())
                spoil = wrong.graph.node[i].attribute[k]
                spoil.i, spoil.f = (1 - spoil.i if spoil.i in (0, 1) else spoil.i - 1), spoil.f * 1.05
                turned = list(spoil.ints)[::-1]
                del spoil.ints[:]
                spoil.ints.extend(turned)
                found.append(wrong)
    return found
