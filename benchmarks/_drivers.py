"""Compile a model with a real backend, run it, and compare: a process that forks for every model.

``python -m benchmarks._drivers BACKEND`` reads a line ``MODEL FEEDS`` (paths, JSON) for each model, and writes a line
``[VERDICT, WHY]`` for it: ok, wrong, refused, crashed or hung. FEEDS is an npz file of inputs ``NAME.k`` and expected
outputs ``NAME.k``. The fork is what dies where the backend does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

SECONDS = 120
TOLERANCE = 1e-3
Case = dict[str, np.ndarray]


class Rejected(Exception):
    """The compiler or the runtime does not take the model."""


def openvino(path: str, cases: list[Case], names: list[str], outputs: list[str]) -> list[list[np.ndarray]]:
    """OpenVINO's CPU plugin, in float32."""
    import openvino as ov

    try:
        core = ov.Core()
        model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = []
        for feeds in cases:
            found = model.create_infer_request().infer([feeds[name] for name in names])
            results.append([np.array(found[model.output(i)]) for i in range(len(outputs))])
    except RuntimeError as error:
        raise Rejected(str(error)) from error
    return results


def mnn(path: str, cases: list[Case], names: list[str], outputs: list[str]) -> list[list[np.ndarray]]:
    """MNN's converter as a function of its own module (the wheel's command reports to a server), then its runtime."""
    import _tools
    import MNN.expr as expr
    import MNN.nn as nn

    made = f"{path}.mnn"
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", made, "--bizCode", "surgery"])
    if not os.path.exists(made):
        raise Rejected("the converter wrote nothing")
    runtime = nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": 1},))
    net = nn.load_module_from_file(made, names, outputs, runtime_manager=runtime)
    results = []
    for feeds in cases:
        # The arrays must outlive the run.
        arrays = [np.ascontiguousarray(feeds[name]) for name in names]
        arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]
        arrays = [a if a.dtype in (np.float32, np.uint8) else a.astype(np.int32) for a in arrays]
        kinds = {"f": expr.float, "i": expr.int, "u": expr.uint8}
        fed = [expr.const(a, list(a.shape), expr.NCHW, kinds[a.dtype.kind]) for a in arrays]
        found = net.forward(fed)
        if not found:
            raise Rejected("the runtime gives nothing")
        plain = [expr.convert(v, expr.NCHW) if v.data_format == expr.NC4HW4 else v for v in found]
        results.append([np.array(v.read()) for v in plain])
    return results


class _Tensor:
    """What pnnx's sample calls torch for."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def numpy(self) -> np.ndarray:
        return self.array

    def squeeze(self, axis: int) -> _Tensor:
        return _Tensor(self.array.squeeze(axis))


def ncnn(path: str, cases: list[Case], names: list[str], outputs: list[str]) -> list[list[np.ndarray]]:
    """pnnx, whose exit status means nothing, then ncnn; how tensors are handed over is read out of pnnx's sample."""
    import ncnn as runtime

    kinds = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "uint8": "u8"}
    shapes = []
    for feeds in cases:
        if any(feeds[name].dtype.name not in kinds for name in names):
            raise Rejected("inputs of this type are not taken")
        parts = (f"[{','.join(map(str, feeds[n].shape))}]{kinds[feeds[n].dtype.name]}" for n in names)
        shapes.append(",".join(parts))
    spec = importlib.util.find_spec("pnnx")  # to import it would import torch
    assert spec is not None and spec.origin is not None
    tool = str(Path(spec.origin).parent / "pnnx")
    command = [tool, path, f"inputshape={shapes[0]}", *(f"inputshape2={s}" for s in shapes[1:2]), "fp16=0"]
    done = subprocess.run(command, cwd=Path(path).parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode < 0:
        os.kill(os.getpid(), -done.returncode)
    base = path.removesuffix(".onnx")
    if not os.path.exists(f"{base}.ncnn.param"):
        raise Rejected("pnnx wrote nothing")
    sample = Path(f"{base}_ncnn.py").read_text()
    given = re.findall(r'ex\.input\("(\w+)", (.*)\)', sample)
    taken = re.findall(
        r'= ex\.extract\("(\w+)"\)\n\s*out\.append\(torch\.from_numpy\((\w+)\.numpy\(([^)]*)\)\)', sample
    )
    results = []
    with runtime.Net() as net:
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{half}", False)
        if net.load_param(f"{base}.ncnn.param") or net.load_model(f"{base}.ncnn.bin"):
            raise Rejected("ncnn does not load it: a layer that it lacks")
        for feeds in cases:
            here = []
            arrays = [feeds[name].astype(np.int32) if feeds[name].dtype == np.int64 else feeds[name] for name in names]
            fed = {f"in{i}": _Tensor(array) for i, array in enumerate(arrays)}
            with net.create_extractor() as ex:
                for blob, call in given:
                    if ex.input(blob, eval(call, {"ncnn": runtime, **fed})):
                        raise Rejected(f"ncnn does not take {blob}")
                for blob, _, how in taken:
                    code, found = ex.extract(blob)
                    if code:
                        raise Rejected(f"ncnn does not give {blob}")
                    here.append(np.array(eval(f"found.numpy({how})", {"found": found})))
            results.append(here)
    if any(len(here) != len(outputs) for here in results):
        raise Rejected("outputs were lost")
    return results


DRIVERS: dict[str, Callable[..., list[list[np.ndarray]]]] = {"openvino": openvino, "mnn": mnn, "ncnn": ncnn}


def same(got: np.ndarray, expected: np.ndarray) -> str:
    """Why a result is wrong; "" where it is right. Sizes count, shapes do not: backends drop and add dims of 1."""
    got, expected = got.reshape(-1), expected.reshape(-1)
    if got.size != expected.size:
        return f"{got.size} elements for {expected.size}"
    a, b = got.astype(np.float64), expected.astype(np.float64)
    if (np.isnan(a) != np.isnan(b)).any():
        return "NaN in other places"
    known = np.isfinite(b)
    if (a[~known & ~np.isnan(b)] != b[~known & ~np.isnan(b)]).any() or not np.isfinite(a[known]).all():
        return "infinities in other places"
    off = float(np.abs(a[known] - b[known]).max(initial=0.0))
    limit = TOLERANCE * max(1.0, float(np.abs(b[known]).max(initial=0.0)))
    return f"off by {off:.2g}" if off > limit else ""


def judge(backend: str, path: str, feeds: str) -> tuple[str, str]:
    """Compile, run and compare one model here; what dies takes this process with it."""
    model = onnx.load(path)
    stored = {t.name for t in model.graph.initializer}
    names = [v.name for v in model.graph.input if v.name not in stored]
    outputs = [v.name for v in model.graph.output]
    with np.load(feeds) as file:
        count = 1 + max(int(key.rpartition(".")[2]) for key in file)
        cases = [{key.rpartition(".")[0]: file[key] for key in file if key.endswith(f".{k}")} for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "model.onnx"
        local.write_bytes(Path(path).read_bytes())
        try:
            results = DRIVERS[backend](str(local), cases, names, outputs)
        except Rejected as error:
            return "refused", " ".join(str(error).split())[:200]
    for k, (found, case) in enumerate(zip(results, cases, strict=True)):
        for name, value in zip(outputs, found, strict=True):
            if why := same(value, case[name]):
                return "wrong", f"{name}.{k}: {why}"
    return "ok", ""


def forked(work: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """What `work` returns in a fork, or how that ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            try:
                told = list(work())
            except Exception as error:
                told = ["refused", f"{type(error).__name__}: {error}"[:200]]
            os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    reply = b""
    try:
        if select.select([reader], [], [], SECONDS)[0]:
            reply = os.read(reader, 1 << 16)
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(reader)
    _, status = os.waitpid(pid, 0)
    if reply:
        verdict, why = json.loads(reply)
        return verdict, why
    sign = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return ("hung", "") if sign == signal.SIGKILL else ("crashed", f"signal {sign}")


def serve(backend: str) -> None:
    """Answer lines until there are no more; the backend's own talk goes nowhere."""
    replies = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    if backend == "openvino":
        import openvino as _ov  # noqa: F401
    elif backend == "mnn":
        import MNN.nn as _nn  # noqa: F401
    else:
        import ncnn as _ncnn  # noqa: F401
    for line in sys.stdin:
        path, feeds = json.loads(line)
        verdict = forked(lambda path=path, feeds=feeds: judge(backend, path, feeds))  # type: ignore[misc]
        if verdict[0] == "hung":  # a fork of a process with threads may hang: once more in a fresh one
            command = [sys.executable, "-m", "benchmarks._drivers", backend, path, feeds]
            try:
                done = subprocess.run(command, capture_output=True, timeout=SECONDS)
                verdict = tuple(json.loads(done.stdout or b'["crashed", ""]'))
            except subprocess.TimeoutExpired:
                pass
        print(json.dumps(verdict), file=replies, flush=True)


@contextlib.contextmanager
def served(backend: str) -> Iterator[Callable[[Path, Path], tuple[str, str]]]:
    """A function that judges a model with the feeds of a file, by a process of its own."""
    command = [sys.executable, "-m", "benchmarks._drivers", backend]
    # Threads that wait for one another in a circle take a loaded machine for themselves.
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=alone)
    assert process.stdin is not None and process.stdout is not None

    def ask(model: Path, feeds: Path) -> tuple[str, str]:
        print(json.dumps([str(model), str(feeds)]), file=process.stdin, flush=True)
        verdict: Any = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        return verdict[0], verdict[1]

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        out = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.write(out, json.dumps(judge(*sys.argv[1:4])).encode())
