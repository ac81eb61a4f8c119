"""The pass `free-dims` on exported models whose batch was fixed, held against the dynamic originals."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from rewrites.passes.fix_dims import FixDims
from surgery.model import from_proto
from surgery.passes import run_pass
from tests.test_free_dims import Net, dims, free

FOLDER = os.environ.get("SURGERY_MODELS", "")
SIZES = {
    "rare": (3, 32, 100),
    "panet": (3, 96, 128),
    "aster": (3, 64, 256),
    "ppocrv4_rec": (3, 48, 100),
    "ppocr_cls": (3, 48, 96),
}


def exported(name: str) -> onnx.ModelProto:
    path = Path(FOLDER) / f"{name}.onnx"
    if not FOLDER or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    return onnx.load(path)


def equal(fixed: onnx.ModelProto, name: str, tolerance: float) -> None:
    made = free(fixed)
    assert dims(made.graph.input[0])[0] == "batch" == dims(made.graph.output[0])[0]
    net, original = Net(made), Net(exported(name))
    for batch in (1, 2, 3, 5):
        x = np.random.default_rng(0).standard_normal((batch, *SIZES[name]), np.float32)
        np.testing.assert_allclose(net(x), original(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "batch"), [("rare", 3), ("panet", 2), ("aster", 1), ("ppocrv4_rec", 1), ("ppocr_cls", 2)]
)
def test_undoes_fix_dims(name: str, batch: int) -> None:
    fixed, _ = run_pass(from_proto(exported(name)), FixDims(dims={"batch": batch}))
    equal(ir.to_proto(fixed), name, 1e-4)


@pytest.mark.parametrize("name", ["rare", "panet"])
def test_undoes_a_simplifier(name: str) -> None:
    """It writes the batch into targets, sizes and states, and makes reshapes of transposes."""
    onnxslim = pytest.importorskip("onnxslim")
    proto = exported(name)
    shape = ",".join(map(str, (1, *SIZES[name])))
    fixed = onnxslim.slim(proto, input_shapes=[f"{proto.graph.input[0].name}:{shape}"])
    assert dims(fixed.graph.input[0])[0] == 1
    equal(fixed, name, 1e-4)
