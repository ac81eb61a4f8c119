"""MNN: its converter as a function, then the module runtime on one thread.

The wheel's command ``mnnconvert`` installs a package and reports to a server: it is never started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from surgery.targets.drivers import THREADS, Arrays, Job, Rejected, Run, rejecting


def load(job: Job) -> Run:
    """See the package."""
    import _tools  # MNN's converter
    import MNN.expr as F
    from MNN import nn

    made = Path(f"{job.name}.mnn")
    with rejecting("converting"):
        _tools.mnnconvert(["mnnconvert", *job.command[1:]])
    if not made.exists():
        raise Rejected("converting: it wrote no model")
    manager = nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": THREADS},))
    nets: dict[tuple[str, ...], Any] = {}

    def run(feeds: Arrays) -> Arrays:
        with rejecting("loading"):
            names = tuple(feeds)
            if names not in nets:
                nets[names] = nn.load_module_from_file(str(made), list(names), job.outputs, runtime_manager=manager)
        arrays = [_plain(value) for value in feeds.values()]  # kept alive while it runs
        with rejecting("running"):
            given = [F.const(a, list(a.shape), F.NCHW, F.float if a.dtype == np.float32 else F.int) for a in arrays]
            found = nets[names].forward(given)
            if not found:
                raise Rejected("running: it gave nothing")
            return {name: _read(F, value) for name, value in zip(job.outputs, found, strict=True)}

    return run


def _plain(value: np.ndarray) -> np.ndarray:
    """As MNN takes it: float32, or int32."""
    kind = np.float32 if value.dtype.kind == "f" else np.int32
    return np.ascontiguousarray(value, kind)


def _read(F: Any, value: Any) -> np.ndarray:
    if value.data_format == F.NC4HW4:  # its own order of channels
        value = F.convert(value, F.NCHW)
    return np.array(value.read())
