"""The pass `gridsample` on exported models, against the results stored with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

import surgery
from rewrites.passes.gridsample import GridSample
from surgery.passes import run_pass

FOLDER = os.environ.get("SURGERY_MODELS", "")
MODELS = ("rare", "rare_1x", "rare_placeholder", "starnet", "aster", "aster_mmdeploy_customop")


@pytest.mark.parametrize("name", MODELS)
def test_gives_the_stored_results(name: str) -> None:
    path = Path(FOLDER) / f"{name}.onnx"
    if not FOLDER or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    model, report = run_pass(surgery.load(path), GridSample())
    assert report.places == 1 and not report.skipped
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    proto = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    stored = np.load(path.with_suffix(".npz"))
    for case in ("0", "1"):
        (result,) = session.run(None, {source.name: stored[f"{source.name}.{case}"]})
        np.testing.assert_allclose(result, stored[f"{target.name}.{case}"], rtol=0, atol=1e-4)
