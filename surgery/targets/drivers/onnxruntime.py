"""ONNX Runtime: its own tool writes the ORT format, which is loaded as an application would."""

from __future__ import annotations

import sys

from surgery.targets.drivers import THREADS, Arrays, Job, Run, as_numpy, rejecting, spawn


def load(job: Job) -> Run:
    """See the package."""
    import onnxruntime as ort

    spawn([sys.executable, "-P", *job.command[1:]])
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    with rejecting("loading"):
        session = ort.InferenceSession(f"{job.name}.ort", options, providers=["CPUExecutionProvider"])

    def run(feeds: Arrays) -> Arrays:
        with rejecting("running"):
            return dict(zip(job.outputs, map(as_numpy, session.run(job.outputs, feeds)), strict=True))

    return run
