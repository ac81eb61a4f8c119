"""OpenVINO: the runtime reads the ONNX file and writes the IR, as ovc does; the IR is compiled for the CPU."""

from __future__ import annotations

import sys

from surgery.targets.drivers import THREADS, Arrays, Job, Run, as_numpy, rejecting

# A CPU with avx512_bf16 would compute in bf16.
_PLAN = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(THREADS)}


def load(job: Job) -> Run:
    """See the package."""
    # Importing the runtime reports to its maker's server unless this package is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino as ov

    core = ov.Core()
    with rejecting("reading"):
        model = core.read_model(f"{job.name}.onnx")
        ov.save_model(model, f"{job.name}.xml", compress_to_fp16=job.options["precision"] == "fp16")
    with rejecting("compiling"):
        compiled = core.compile_model(core.read_model(f"{job.name}.xml"), "CPU", _PLAN)
        request = compiled.create_infer_request()

    def run(feeds: Arrays) -> Arrays:
        with rejecting("running"):
            # By position: where a Cast behind an input is folded, the input has the Cast's name.
            found = request.infer(list(feeds.values()))
            return {name: as_numpy(found[compiled.output(i)]) for i, name in enumerate(job.outputs)}

    return run
