"""ncnn: pnnx converts, then the runtime, with all that is narrower than float32 switched off.

pnnx ends with status 0 whatever is left that ncnn lacks: only loading tells. No call of the runtime
raises, and to go on after one that failed is a crash: every status is looked at.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from surgery.targets.drivers import THREADS, Arrays, Job, Rejected, Run, rejecting, spawn

_INPUT = re.compile(r'ex\.input\("(\w+)", ncnn\.Mat\((.*)\)\.clone\(\)\)')
_OUTPUT = re.compile(r'ex\.extract\("(\w+)"\)\s+out\.append\((.*)\)')
_DTYPE = re.compile(r"^ +in(\d+) = .*dtype=torch\.(\w+)", re.MULTILINE)
_BATCH = re.compile(r"batch_index=(\d+)")
_TYPES = {"float": np.float32, "half": np.float32, "double": np.float32}


def load(job: Job) -> Run:
    """See the package."""
    import ncnn

    # The package can't be imported without torch; the program in it needs none.
    spec = find_spec("pnnx")
    assert spec and spec.origin
    spawn([str(Path(spec.origin).parent / "pnnx"), *job.command[1:]])
    name = job.name.replace("-", "_")  # as pnnx writes names
    _tidy(job.name)
    _tidy(name)
    script = Path(f"{name}_ncnn.py")
    if not script.exists():
        raise Rejected("converting: pnnx wrote no model")
    text = script.read_text(encoding="utf-8")
    inputs, outputs = _INPUT.findall(text), _OUTPUT.findall(text)
    kinds = {f"in{place}": _TYPES.get(kind, np.int32) for place, kind in _DTYPE.findall(text)}
    if len(outputs) != len(job.outputs):
        raise Rejected(f"converting: of {len(job.outputs)} outputs pnnx left {len(outputs)}")
    net = ncnn.Net()
    net.opt.num_threads = THREADS
    for narrow in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{narrow}", False)
    _ask("loading", net.load_param(f"{name}.ncnn.param"))
    _ask("loading", net.load_model(f"{name}.ncnn.bin"))

    def run(feeds: Arrays) -> Arrays:
        if len(inputs) != len(feeds):
            raise Rejected(f"running: of {len(feeds)} inputs pnnx left {len(inputs)}")
        with rejecting("running"), net.create_extractor() as ex:
            for (blob, form), value in zip(inputs, feeds.values(), strict=True):
                array = np.ascontiguousarray(value, kinds.get(blob, np.float32))
                _ask(f"input {blob}", ex.input(blob, ncnn.Mat(array, **_batch(form)).clone()))
            found = {}
            for (blob, form), output in zip(outputs, job.outputs, strict=True):
                status, mat = ex.extract(blob)
                _ask(f"extracting {blob}", status)
                # A copy: it is the extractor's.
                found[output] = np.array(mat.numpy(**_batch(form)))
            return found

    return run


def _ask(doing: str, status: int) -> None:
    if status:
        raise Rejected(f"{doing}: status {status}")


def _batch(form: str) -> dict[str, Any]:
    """What pnnx wrote of the batch: which axis it is, if any."""
    found = _BATCH.search(form)
    return {"batch_index": int(found[1])} if found else {}


def _tidy(name: str) -> None:
    """Remove what pnnx leaves of its own work."""
    for suffix in (".pnnx.param", ".pnnx.bin", ".pnnx.onnx", ".pnnxsim.onnx", "_pnnx.py"):
        Path(name + suffix).unlink(missing_ok=True)
