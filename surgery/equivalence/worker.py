"""The child process: `python -m surgery.equivalence.worker`.

It answers requests of `runner.Verifier` on its standard input, by pickles on what was its
standard output. Both ends are ours, and nothing else writes there: descriptor 1 is moved away
before anything is imported that may print. Arrays stay here; only reports travel.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import resource
import sys
import threading
from typing import Any, BinaryIO

from surgery.equivalence.pace import Pace

MEMORY_SHARE = 0.7  # of what is available, for the data of this process


def main() -> None:
    """Serve until the parent closes its end."""
    replies = os.fdopen(os.dup(1), "wb", buffering=-1)
    os.dup2(2, 1)  # what others print goes where errors go, which the parent keeps
    requests: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    pace = Pace()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests, pace), daemon=True).start()
    limit_memory()
    gc.set_threshold(100_000, 50, 100)  # nearly all of what imports make stays
    from surgery.equivalence.baseline import Baseline, Settings
    from surgery.equivalence.examination import examine

    before: Baseline | None = None
    while True:
        verb, arguments = requests.get()
        try:
            if verb == "baseline":
                before = Baseline(Settings(**arguments), lambda text: _send(replies, "progress", text), pace)
                before.find()
                _send(replies, "done", None)
            else:
                assert before
                _send(replies, "done", examine(before, **arguments))
        except MemoryError:
            _send(replies, "memory", "")
        except Exception as error:
            _send(replies, *_worded(error))


def _listen(source: BinaryIO, requests: queue.SimpleQueue[tuple[str, dict[str, Any]]], pace: Pace) -> None:
    """Take requests in; end the process at once when the parent is gone, whatever runs."""
    try:
        while True:
            verb, arguments = pickle.load(source)
            if verb == "compare":
                pace.hurry.set()
            requests.put((verb, arguments))
    except (EOFError, pickle.UnpicklingError, OSError):
        os._exit(0)


def _send(replies: BinaryIO, kind: str, body: Any) -> None:
    try:
        message = pickle.dumps((kind, body))
        replies.write(len(message).to_bytes(4, "little") + message)
        replies.flush()
    except OSError:  # the parent is gone
        os._exit(0)


def _worded(error: Exception) -> tuple[str, Any]:
    from surgery.equivalence.pairing import Mismatch
    from surgery.errors import SurgeryError

    if isinstance(error, Mismatch):
        return "mismatch", str(error)
    if isinstance(error, SurgeryError):
        return "error", (type(error).__name__, error.what, error.where, error.cure)
    import traceback

    return "fault", traceback.format_exc()


def limit_memory() -> None:
    """Let an absurd request for memory fail here, before it takes the machine down."""
    limit = int(available_memory() * MEMORY_SHARE)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if limit > 0 and (soft == resource.RLIM_INFINITY or limit < soft):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def available_memory() -> int:
    """Bytes of memory that are free for use, within the limits of the control group; 0 if unknown."""
    found = []
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":", 1) for line in file)
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            with open(limit) as file_limit, open(used) as file_used:
                found.append(int(file_limit.read()) - int(file_used.read()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(min(found, default=0), 0)


if __name__ == "__main__":
    main()
