"""Verify whole models in a child process that can be ended.

A model from anywhere may crash the runtime, ask for a hundred gigabytes, or never end. None
of this may take the parent with it, so it happens elsewhere, and what came of it is told in
the words of the Report.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import surgery.errors
from surgery.equivalence.promise import Promise
from surgery.errors import BadInput, SurgeryError
from surgery.report import OutputReport, Verification

_GRACE = 10.0  # seconds beyond the budget in which the child may still answer by itself

Paths = Sequence[str | os.PathLike[str]]


class Verifier:
    """Holds one model, and compares others with it.

    A context manager: the child ends with it. `start` returns at once, and the child makes the
    baseline while the caller edits the model.

    Args:
        before: the model before; None to compare with a reference only.
        seed: of all chance.
        probes: shapes to run at, in place of sizes found; each as on the command line
            (``"x:2,3,48,320"``), or a mapping from inputs to shapes.
        inputs: npz files of inputs to run on besides.
        reference: an npz file of inputs and the outputs that are right for them.
        rtol: relative tolerance, in place of the rule of `compare`.
        atol: absolute tolerance, likewise.
        budget: seconds for the baseline; a comparison gets a third more of it.
        on_progress: is told in a few words what goes on.
        match: how inputs and outputs pair: by "name", by "position", or "order": by name, and in the
            same order.
        share: size of the planted faults; for benchmarks.
        repro: a folder for a reproduction of every site that fails.
        whole: run the whole models. Else only sites are verified, on drawn values: for models too
            large to run.
    """

    def __init__(
        self,
        before: str | os.PathLike[str] | None,
        *,
        seed: int = 0,
        probes: Sequence[str | Mapping[str, Sequence[int]]] = (),
        inputs: Paths = (),
        reference: str | os.PathLike[str] | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        budget: float = 300.0,
        on_progress: Callable[[str], None] | None = None,
        match: str = "order",
        share: float = 0.01,
        repro: str | os.PathLike[str] | None = None,
        whole: bool = True,
    ) -> None:
        self._settings: dict[str, Any] = {
            "before": None if before is None else Path(before).absolute(),
            "seed": seed,
            "probes": [probe if isinstance(probe, str) else dict(probe) for probe in probes],
            "inputs": [Path(path).absolute() for path in inputs],
            "reference": None if reference is None else Path(reference).absolute(),
            "rtol": rtol,
            "atol": atol,
            "budget": budget,
            "match": match,
            "share": share,
            "repro": None if repro is None else Path(repro).absolute(),
            "whole": whole,
        }
        self._budget = budget
        self._on_progress = on_progress or (lambda text: None)
        self.peak_bytes = 0  # of the child, known once it has ended
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._buffer = b""
        self._ready = False
        self._stage = "starting"
        self._started = 0.0

    def start(self) -> None:
        """Start the child on the baseline; returns at once."""
        if self._child is not None:
            return
        root = str(Path(surgery.errors.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._child = subprocess.Popen(
            # -P: a numpy.py beside the user's model is not to be imported
            [sys.executable, "-P", "-m", "surgery.equivalence.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            bufsize=0,
        )
        self._buffer, self._ready, self._stage = b"", False, "starting"
        self._started = time.monotonic()
        self._request("baseline", self._settings)

    def compare(
        self,
        after: str | os.PathLike[str],
        *,
        exact: bool = False,
        changes: bool = False,
        locate: bool = False,
        strict: bool = False,
        promise: Promise | None = None,
        least: tuple[float, float] = (0.0, 0.0),
        interface: frozenset[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Verification:
        """Compare a model with the one before; may be called again with others.

        Args:
            after: the model file.
            exact: ask for the same bits.
            changes: results may move; shapes and dtypes must hold.
            locate: on a difference, look for the first tensor that differs.
            strict: raise where inputs or outputs do not pair; else that is a difference.
            promise: of the places that were rewritten; given, they are verified one by one, too.
            least: rtol and atol that are allowed at least, where the usual rule is stricter.
            names: what inputs and outputs that were renamed were called before, by the new name; None where that
                is not known, and those without a namesake pair by their order.
            interface: what of inputs and outputs is to change, of `contract.INTERFACE`; None where
                that is not known, and what does no harm to either is only told.

        Returns:
            The verdict and what it rests on. A child that crashed, ran out of memory or out
            of time makes it "unverified", with the cause in its notes.

        Raises:
            BadInput: a model or the user's data can't be used.
        """
        arguments: dict[str, Any] = {"path": Path(after).absolute(), "exact": exact, "changes": changes}
        arguments |= {"locate": locate, "promise": promise, "least": least, "interface": interface, "names": names}
        self.start()
        try:
            if not self._ready:
                self._answer(self._started + self._budget + _GRACE)
                self._ready = True
            self._request("compare", arguments)
            result: Verification = self._answer(time.monotonic() + self._budget + _GRACE)
            return result
        except _Lost as lost:
            self.close()
            return Verification(verdict="unverified", notes=[str(lost)])
        except SurgeryError:
            if not self._ready:  # there is no baseline to go on from
                self.close()
            raise
        except _Mismatch as mismatch:
            if strict:
                by_position = self._settings["match"] == "position"
                cure = "" if by_position else "Pair them with --match position or --match name, or rename them."
                raise BadInput(str(mismatch), where=str(after), cure=cure) from None
            return Verification(
                verdict="different",
                outputs=[OutputReport("", outside=1.0, verdict="different", note=str(mismatch))],
                notes=[str(mismatch)],
            )

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin and child.stdout
        self.peak_bytes = max(self.peak_bytes, peak_memory(child.pid))
        child.terminate()
        try:
            child.wait(1.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdin.close()
        child.stdout.close()
        if self._errors:
            self._errors.close()

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child else None

    def __enter__(self) -> Verifier:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _request(self, verb: str, arguments: dict[str, Any]) -> None:
        assert self._child and self._child.stdin
        with contextlib.suppress(BrokenPipeError):  # the child is gone; waiting for its answer tells why
            self._child.stdin.write(pickle.dumps((verb, arguments)))

    def _answer(self, until: float) -> Any:
        """Wait for the answer to the last request; progress is passed on meanwhile."""
        while True:
            kind, body = self._message(until)
            if kind == "progress":
                self._stage = body
                self._on_progress(body)
            elif kind == "done":
                return body
            elif kind == "mismatch":
                raise _Mismatch(body)
            elif kind == "memory":
                raise _Lost(f"the runtime ran out of memory while {self._stage}")
            elif kind == "error":
                name, what, where, cure = body
                raise getattr(surgery.errors, name)(what, where=where, cure=cure)
            else:
                raise SurgeryError(f"verification failed by a fault of ours:\n{body}")

    def _message(self, until: float) -> tuple[str, Any]:
        """The next message; raises _Lost where none comes."""
        assert self._child and self._child.stdout
        stream = self._child.stdout.fileno()
        while True:
            length = int.from_bytes(self._buffer[:4], "little") if len(self._buffer) >= 4 else None
            if length is not None and len(self._buffer) >= 4 + length:
                body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
                message: tuple[str, Any] = pickle.loads(body)
                return message
            left = until - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                raise _Lost(f"the runtime did not end within the budget of {self._budget:g} s while {self._stage}")
            piece = os.read(stream, 1 << 16)
            if not piece:
                raise _Lost(self._death())
            self._buffer += piece

    def _death(self) -> str:
        """Why the child ended, in words."""
        assert self._child
        try:
            status = self._child.wait(2.0)
        except subprocess.TimeoutExpired:
            return f"the runtime's process stopped answering while {self._stage}"
        if status >= 0:
            return f"the runtime's process ended with status {status} while {self._stage}{self._last_words()}"
        name = signal.Signals(-status).name
        likely = ", as the system does where memory runs out" if name == "SIGKILL" else ""
        return f"the runtime's process was ended by {name}{likely}, while {self._stage}{self._last_words()}"

    def _last_words(self) -> str:
        if not self._errors:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(size - 2000, 0))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""


def peak_memory(pid: int | str = "self") -> int:
    """The most memory in bytes that a process has held; 0 where the system does not tell.

    Not getrusage: what it says, a child inherits from the process that started it.
    """
    try:
        with open(f"/proc/{pid}/status") as file:
            found = next((line for line in file if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    except OSError:
        return 0
    return int(found.split()[1]) * 1024


class _Lost(Exception):
    """The child gives no answer any more."""


class _Mismatch(Exception):
    """The models' inputs or outputs do not pair."""


def verify(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    *,
    exact: bool = False,
    promise: Promise | None = None,
    **settings: Any,
) -> Verification:
    """Compare two models; `settings` are those of `Verifier`, `exact` and `promise` of its `compare`.

    Raises:
        BadInput: a model or the user's data can't be used, or inputs or outputs do not pair.
    """
    with Verifier(before, **settings) as verifier:
        return verifier.compare(after, exact=exact, locate=True, strict=True, promise=promise)


def verify_reference(model: str | os.PathLike[str], reference: str | os.PathLike[str], **settings: Any) -> Verification:
    """Compare a model with stored results; `settings` are those of `Verifier`.

    Raises:
        BadInput: the model or the reference can't be used.
    """
    with Verifier(None, reference=reference, **settings) as verifier:
        return verifier.compare(model, strict=True)
