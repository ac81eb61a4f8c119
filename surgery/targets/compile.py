"""Compile a prepared model, run it on its probes, and compare with the model before surgery.

Where a backend can be installed on an ordinary machine (a target's ``packages``), it compiles and runs
in a child process: what crashes there is told in words. Of the others the command that `prepare` wrote
is run, if it is on PATH; what it makes runs on the chip, and is proven there (``build.sh``).

In the folder of `prepare` there come to lie what the compiler made, and

    compile.log     all that it printed
    compile.json    what came of it
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import surgery.errors
from surgery.errors import BadInput, Missing, SurgeryError
from surgery.report import SCHEMA
from surgery.targets import choose
from surgery.targets.agreement import TOLERANCE, Agreement, Range, compare
from surgery.targets.drivers import THREADS
from surgery.targets.drivers.worker import EVENTS, PROBE
from surgery.targets.prepare import EXPECTED, RECORD, Prepared, Progress, prepare
from surgery.targets.rule import Chosen
from surgery.targets.sizes import Profile, parse

LOG, RESULT = "compile.log", "compile.json"
_OURS = (LOG, RESULT, EVENTS)
_LAST = 10  # lines of the log that are shown
_SECONDS = 1800.0  # in which a backend has to compile and run all probes


@dataclass
class Compiled:
    """What came of it.

    ``verdict`` is "equal"; "compiled" (it runs elsewhere); "wrong", "refused", "crashed", with the reason
    in ``why``; or "unverified", where there are no probes. ``prepared`` is what `prepare` said, where
    it wrote nothing. ``times`` are of ``--benchmark``, in milliseconds.
    """

    target: Chosen
    folder: Path | None
    verdict: str
    why: str = ""
    outputs: list[tuple[int, Agreement]] = field(default_factory=list)  # and the probe that they are of
    cases: list[dict[str, Any]] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    last_lines: list[str] = field(default_factory=list)
    prepared: Prepared | None = None

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return self.verdict in ("equal", "compiled")

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it, and as it is kept in the folder."""
        return {
            "target": self.target.name,
            "version": self.target.version,
            "options": self.target.options,
            "folder": None if self.folder is None else str(self.folder),
            "verdict": self.verdict,
            "why": self.why,
            "installed": self.versions,
            "made": self.made,
            "outputs": [{"probe": probe, **one._asdict()} for probe, one in self.outputs],
            "times": {"threads": THREADS, "unit": "ms", "sizes": self.times} if self.times else None,
            "log": None if self.folder is None else str(self.folder / LOG),
            "last_lines": self.last_lines,
            "prepared": None if self.prepared is None else self.prepared.to_json(),
        }


def compile(
    model: str | os.PathLike[str],
    target: str = "",
    output: str | os.PathLike[str] | None = None,
    *,
    input_shapes: Sequence[str | Profile] = (),
    benchmark: bool = False,
    tolerance: float = TOLERANCE,
    seconds: float = _SECONDS,
    progress: Progress = lambda text: None,
    **how: Any,
) -> Compiled:
    """Compile a model for a target, run it at every prepared size, and compare with the model before.

    Args:
        model: a folder that `prepare` wrote, or a model, which is prepared first.
        target: as on the command line, ``openvino:precision=fp16``; of a folder "" is what it was made for.
        output: the folder to prepare a model in; MODEL.TARGET beside the model if None.
        input_shapes: the sizes to prepare a model for.
        benchmark: measure time, at every prepared size, on one thread.
        tolerance: the largest difference that is taken, as a part of the range of an output.
        seconds: after this time a backend that runs here is ended.
        progress: called with a line of text when a step begins.
        how: of `prepare`, for a model.

    Raises:
        BadInput: the model, the folder or the target can't be used.
        Refused: the target does not take these sizes.
        Missing: the backend is not here; the message says how to get it, or the command to run elsewhere.
    """
    path = Path(model)
    if path.is_dir():
        if output is not None or input_shapes:
            raise BadInput("the folder was prepared: its sizes are set, and results go into it", where=str(path))
        folder, record = path, _record(path)
        chosen = _same(path, record, target)
        _installed(chosen)
    else:
        if not path.exists():
            raise BadInput("there is no such file or folder", where=str(path))
        if not target:
            raise BadInput("no target is named", cure="--target NAME; 'surgery list --kind target' has the names")
        chosen = choose(target)
        _installed(chosen)
        folder = path.with_suffix(f".{chosen.name}") if output is None else Path(output)
        profiles = [parse(size) if isinstance(size, str) else size for size in input_shapes]
        prepared = prepare(path, chosen, profiles, folder, progress=progress, **how)
        if prepared.folder is None:
            verdict = "refused" if prepared.report is None else prepared.report.verdict
            return Compiled(chosen, None, verdict, "it was not prepared", prepared=prepared)
        record = _record(folder)
    if benchmark and not chosen.target.packages:
        raise BadInput(
            f"what {chosen.name} makes does not run here", cure="measure on the chip: build.sh has the command"
        )
    result = Compiled(chosen, folder, "refused", cases=record["cases"])
    with _work(folder, record) as work, open(work / LOG, "wb") as log:
        before = _state(work)
        if chosen.target.packages:
            _drive(result, record, work, log, benchmark, tolerance, seconds, progress)
        else:
            _call(result, record, work, log, progress)
        log.close()
        result.last_lines = _tail(work / LOG)
        _keep(result, work, folder, _made(work, before))
    return result


# ---------------------------------------------------------------------------- what is to be done


def _record(folder: Path) -> dict[str, Any]:
    """What `prepare` wrote of a folder."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if not record["steps"] or not (folder / record["model"]).is_file():
            raise BadInput(f"the model of {RECORD} is not in it", where=str(folder), cure="prepare it again")
    except OSError as error:
        cure = "name a folder that 'surgery prepare' wrote, or a model"
        raise BadInput(f"there is no {RECORD} in it", where=str(folder), cure=cure) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{RECORD} is not what prepare writes", where=str(folder), cure="prepare it again") from error
    return record


def _same(folder: Path, record: dict[str, Any], target: str) -> Chosen:
    """The target that a folder was prepared for, which is the one asked for."""
    options = {"version": record["version"], **{k: v for k, v in record["options"].items() if v}}
    made = choose(f"{record['target']}:{','.join(f'{k}={v}' for k, v in options.items())}")
    # What is asked for may leave out what it does not care for.
    wanted = choose(target) if target else made
    given = {item.partition("=")[0] for item in target.partition(":")[2].split(",") if item}
    unlike = [k for k in given if {"version": wanted.version, **wanted.options}.get(k) != options.get(k)]
    if wanted.name != made.name or unlike:
        raise BadInput(f"it was prepared for {made}", where=str(folder), cure=f"prepare it for {target}")
    return made


def _installed(chosen: Chosen) -> None:
    """That the packages of a target are here.

    Raises:
        Missing: one is not.
    """
    absent = [name for name in chosen.target.packages if find_spec(name) is None]
    if absent:
        raise Missing(
            f"{chosen.name} is not installed: {' and '.join(absent)} can't be imported", cure=chosen.target.install
        )


@contextmanager
def _work(folder: Path, record: dict[str, Any]) -> Iterator[Path]:
    """A folder to work in, with copies of what was prepared; removed in the end."""
    work = folder / f".compile.{secrets.token_hex(8)}"
    try:
        try:
            work.mkdir()
            needed = {EXPECTED, *(name for step in record["steps"] for name in step["files"])}
            for file in folder.iterdir():
                if file.name in needed or file.name.startswith(record["model"]):  # and its weights
                    shutil.copy2(file, work / file.name)
        except OSError as error:
            raise BadInput(f"can't be written: {error.strerror or error}", where=str(folder)) from error
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _made(work: Path, before: dict[str, tuple[int, int]]) -> list[str]:
    """The files that are new or have changed, besides our own."""
    return sorted(name for name, state in _state(work).items() if name not in _OURS and before.get(name) != state)


def _state(work: Path) -> dict[str, tuple[int, int]]:
    """Of every file there its size, and when it was written."""
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in work.iterdir()}


@contextmanager
def _child(command: Sequence[str], log: BinaryIO, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that prints into the log; it, and what it started, do not outlive this."""
    child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **settings)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


# ---------------------------------------------------------------------------- backends that run here


def _drive(
    result: Compiled,
    record: dict[str, Any],
    work: Path,
    log: BinaryIO,
    benchmark: bool,
    tolerance: float,
    seconds: float,
    progress: Progress,
) -> None:
    """Compile and run in a child, and read what it left."""
    step, cases = record["steps"][0], record["cases"]
    outputs = [port["name"] for port in cases[0]["outputs"]] if cases else []
    request = {
        "work": str(work.absolute()),
        "backend": result.target.name,
        "packages": result.target.target.packages,
        "job": {
            "name": step["name"],
            "command": step["command"],
            "options": result.target.options,
            "outputs": outputs,
        },
        "probes": EXPECTED,
        "inputs": [[port["name"] for port in case["inputs"]] for case in cases],
        "benchmark": benchmark,
    }
    if not cases:
        result.verdict, result.why = "unverified", "there are no probes: prepare says why"
        return
    progress(f"compiling with {result.target.name}")
    status = _serve(request, log, seconds)
    events: dict[str, Any] = {"stage": "starting"}
    ran: list[int] = []
    if (work / EVENTS).exists():
        for text in (work / EVENTS).read_text(encoding="utf-8").splitlines():
            event = json.loads(text)
            ran += [event["ran"]] if "ran" in event else []
            if "measured" in event:
                result.times.append(_timed(cases[event.pop("measured")], event))
            events |= event
    result.versions = events.get("versions", {})
    _read_outputs(result, work, [PROBE.format(index) for index in ran], tolerance)
    if events.get("failed") == "fault":
        raise SurgeryError(f"the driver of {result.target.name} failed: {events['why']}", cure="please report it")
    if status is None:
        result.verdict, result.why = "crashed", f"it did not end within {seconds:g} s, while {events['stage']}"
    elif "failed" in events:
        result.verdict, result.why = events["failed"], events["why"]
    elif "done" not in events:
        result.verdict, result.why = "crashed", f"{_end(status)} while {events['stage']}"
    elif any(not one.equal for _, one in result.outputs):
        result.verdict, result.why = "wrong", "other values than the model before gave"
    else:
        result.verdict = "equal"


def _serve(request: dict[str, Any], log: BinaryIO, seconds: float) -> int | None:
    """Run the worker; its status, or None if it had to be ended."""
    root = str(Path(surgery.errors.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **threads}
    worker = [sys.executable, "-P", "-m", "surgery.targets.drivers.worker"]
    with _child(worker, log, stdin=subprocess.PIPE, env=environment) as child:
        assert child.stdin
        with child.stdin as stream, suppress(BrokenPipeError):  # its status tells why it is gone
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            with suppress(subprocess.TimeoutExpired):
                return child.wait(seconds)
            return None
        return child.wait()


def _end(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"the backend's process ended with status {status}"
    likely = ", as the system does where memory runs out," if -status == signal.SIGKILL else ""
    return f"the backend's process was ended by {signal.Signals(-status).name}{likely}"


def _timed(case: dict[str, Any], times: dict[str, Any]) -> dict[str, Any]:
    """A row of the table of times; the batch is the first dim of the first input."""
    shapes = {port["name"]: port["shape"] for port in case["inputs"]}
    first = case["inputs"][0]["shape"]
    batch = first[0] if first else 1
    return {"batch": batch, "shapes": shapes, **times, "throughput": 1000 * batch / times["mean"]}


def _read_outputs(result: Compiled, work: Path, files: list[str], tolerance: float) -> None:
    with np.load(work / EXPECTED, allow_pickle=False) as archive:
        expected = [
            {port["name"]: archive[f"{port['name']}.{index}"] for port in case["outputs"]}
            for index, case in enumerate(result.cases)
        ]
    within = {name: Range.of([case[name] for case in expected]) for name in expected[0]}
    for index, file in enumerate(files):
        with np.load(work / file, allow_pickle=False) as found:
            for place, (name, value) in enumerate(expected[index].items()):
                result.outputs.append((index, compare(name, value, found[f"arr_{place}"], tolerance, within[name])))
        (work / file).unlink()


# ---------------------------------------------------------------------------- backends that only compile here


def _call(result: Compiled, record: dict[str, Any], work: Path, log: BinaryIO, progress: Progress) -> None:
    """Run the commands that `prepare` wrote.

    Raises:
        Missing: the program is not on PATH.
    """
    for step in record["steps"]:
        command = step["command"]
        if shutil.which(command[0]) is None:
            raise Missing(
                f"{command[0]} is not on PATH",
                where=str(result.folder),
                cure=f"copy the folder to where it is, and run build.sh there; only to compile: {shlex.join(command)}",
            )
        progress(f"{command[0]} {step['name']}")
        before = _state(work)
        with _child(command, log, cwd=work, stdin=subprocess.DEVNULL) as child:
            status = child.wait()
        if status:
            result.verdict = "crashed" if status < 0 else "refused"
            result.why = _end(status).replace("the backend's process", command[0])
            return
        if not _made(work, before):
            result.why = f"{command[0]} ended with status 0 and wrote nothing"
            return
    result.verdict = "compiled"


# ---------------------------------------------------------------------------- what is kept


def _tail(path: Path) -> list[str]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(size - 16384, 0))
        lines = file.read().decode(errors="replace").splitlines()
    return [text[:300] for text in lines if text.strip()][-_LAST:]


def _keep(result: Compiled, work: Path, folder: Path, made: list[str]) -> None:
    """Move what was made into the folder if it is right, and the log in any case."""
    if result.ok:
        result.made = made
        for name in made:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            os.replace(work / name, folder / name)
    document = {"schema": SCHEMA, **result.to_json(), "folder": None, "log": LOG}
    (work / RESULT).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name in (LOG, RESULT):
        os.replace(work / name, folder / name)
