"""The child process: ``python -m surgery.targets.drivers.worker`` in a working folder.

It reads what to do from its standard input: a JSON line, and ends when that is closed. What comes of
it are files in the working folder: events as lines of JSON, and the outputs of every probe. What it
and the backend print goes to the log, which its parent opened.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import statistics
import sys
import threading
import time
from importlib import import_module
from importlib.metadata import packages_distributions, version
from typing import Any

EVENTS, PROBE = "events", "probe{}.npz"
_WARM, _SECONDS, _LEAST, _MOST = 0.3, 3.0, 20, 1000  # of a measurement: seconds, seconds, runs, runs
_CRASHED, _REFUSED, _FAULT = "crashed", "refused", "fault"


def main() -> None:
    """Compile, run, write."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch, daemon=True).start()
    _flush_lines()
    os.chdir(request["work"])
    with open(EVENTS, "w", encoding="utf-8") as events:

        def tell(**event: Any) -> None:
            print(json.dumps(event), file=events, flush=True)

        try:
            _serve(request, tell)
            tell(done=True)
        except Exception as error:
            from surgery.targets.drivers import Died, Rejected

            kind = _REFUSED if isinstance(error, Rejected) else _CRASHED if isinstance(error, Died) else _FAULT
            if kind == _FAULT:
                import traceback

                traceback.print_exc()
            elif error.__cause__ is not None:
                print(error.__cause__)  # in full, into the log
            tell(failed=kind, why=str(error) or type(error).__name__)
    sys.stdout.flush()
    # Some backends crash when they are taken down; what was asked for is done.
    os._exit(0)


def _serve(request: dict[str, Any], tell: Any) -> None:
    import numpy as np

    from surgery.targets.drivers import Job

    tell(stage="compiling", versions={name: _version(name) for name in request["packages"]})
    driver = import_module(f"surgery.targets.drivers.{request['backend']}")
    run = driver.load(Job(**request["job"]))
    with np.load(request["probes"], allow_pickle=False) as probes:
        feeds = [{name: probes[f"{name}.{k}"] for name in names} for k, names in enumerate(request["inputs"])]
    for index, fed in enumerate(feeds):
        tell(stage=f"running probe {index}")
        found = run(fed)
        np.savez(PROBE.format(index), *(found[name] for name in request["job"]["outputs"]))
        tell(ran=index)
    for index, fed in enumerate(feeds if request["benchmark"] else ()):
        tell(stage=f"measuring probe {index}")
        tell(measured=index, **_measure(run, fed))


def _measure(run: Any, feeds: Any) -> dict[str, float]:
    """Milliseconds of many runs of one size."""
    start = time.perf_counter()
    while time.perf_counter() - start < _WARM:
        run(feeds)
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < _LEAST or (time.perf_counter() - start < _SECONDS and len(taken) < _MOST):
        before = time.perf_counter()
        run(feeds)
        taken.append(1000 * (time.perf_counter() - before))
    taken.sort()
    return {
        "runs": len(taken),
        "min": taken[0],
        "max": taken[-1],
        "mean": statistics.fmean(taken),
        "median": statistics.median(taken),
        "p99": taken[-(-len(taken) * 99 // 100) - 1],  # the least that 99 of 100 runs do not exceed
    }


def _version(package: str) -> str:
    """Of the distribution that a package came with."""
    try:
        return version(packages_distributions()[package][0])
    except (KeyError, LookupError):
        return ""


def _watch() -> None:
    """End with the parent, and with us what we started."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


def _flush_lines() -> None:
    """C's stdout keeps what is printed into a file, and a crash would lose its last lines."""
    libc = ctypes.CDLL(None)
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, 1, 0)


if __name__ == "__main__":
    main()
