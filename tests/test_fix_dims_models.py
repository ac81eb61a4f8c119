"""The pass `fix-dims` on exported models."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from rewrites.passes.fix_dims import FixDims
from tests.test_fix_dims import dims, fix, operators, run

FOLDER = os.environ.get("SURGERY_MODELS", "")
EXPORTED = {
    "ppocr_cls": (["batch", 3, "height", "width"], ["batch", 2], ((1, 3, 48, 192), (2, 3, 48, 192), (3, 3, 32, 64))),
    "ppocrv4_rec": (
        ["batch", 3, "height", "width"],
        ["batch", "length", 6625],
        ((1, 3, 48, 320), (2, 3, 48, 100), (3, 3, 48, 64)),
    ),
    "ppocrv4_det": (
        ["batch", 3, "height", "width"],
        ["batch", 1, "height", "width"],
        ((1, 3, 64, 96), (2, 3, 96, 64), (1, 3, 160, 160)),
    ),
    "starnet": (["batch", 3, 32, 100], ["batch", 25, 37], ((1, 3, 32, 100), (2, 3, 32, 100), (3, 3, 32, 100))),
    "rare": (["batch", 3, 32, 100], ["batch", 25, 38], ((1, 3, 32, 100), (2, 3, 32, 100), (3, 3, 32, 100))),
}


def exported(name: str) -> onnx.ModelProto:
    path = Path(FOLDER) / f"{name}.onnx"
    if not FOLDER or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    return onnx.load(path)


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_models_in_order(name: str) -> None:
    proto = exported(name)
    wanted, output, shapes = EXPORTED[name]
    made = fix(proto, FixDims())
    assert dims(made.graph.input[0]) == wanted
    assert dims(made.graph.output[0]) == output
    for shape in shapes:
        assert run(made, *shape).shape[0] == shape[0]


def test_a_detector_after_paddle2onnx_optimize() -> None:
    """The tool writes -1 as a number and infers with it: everything inner is declared, and wrong."""
    proto = exported("ppocrv4_det")
    for dim in proto.graph.input[0].type.tensor_type.shape.dim:
        if dim.dim_param:
            dim.dim_value = -1
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    stale = onnx.shape_inference.infer_shapes(proto)
    for dim, size in zip(stale.graph.output[0].type.tensor_type.shape.dim, (-1, 1, 32, 32), strict=True):
        dim.dim_value = size
    assert sum(d.dim_value < 0 for v in stale.graph.value_info for d in v.type.tensor_type.shape.dim) > 100
    for one, output in (
        (FixDims(), ["batch", 1, "height", "width"]),
        (FixDims(shape={"x": "1x3x64x96"}), [1, 1, 64, 96]),
    ):
        made = fix(stale, one)
        assert dims(made.graph.output[0]) == output
        for shape in ((1, 3, 64, 96), (2, 3, 96, 64), (1, 3, 160, 160))[: 1 if output[0] == 1 else 3]:
            np.testing.assert_allclose(run(made, *shape), run(exported("ppocrv4_det"), *shape), atol=1e-5)


def test_rare_at_batch_one_holds_no_shape_arithmetic() -> None:
    made = fix(exported("rare"), FixDims(dims={"batch": 1}))
    assert not operators(made) & {"Shape", "Expand", "Range", "ConstantOfShape", "NonZero", "Tile"}
    assert dims(made.graph.output[0]) == [1, 25, 38]
