"""Run the two halves of a cut on the same values."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from surgery.equivalence.session import Failed
from surgery.equivalence.sites.cuts import OUTPUT, Half

Feeds = Mapping[str, Any]

# The types that numpy has; others, bfloat16 for one, are looked at as float32.
_NUMPY = re.compile(r"tensor\((float|float16|double|u?int(8|16|32|64)|bool|string|complex64|complex128)\)")
_MOST = 20.0  # seconds for one run of one half
_PERIOD = 0.02  # seconds between looks at the clock


@dataclass
class Result:
    """What the halves gave; ``refused`` is the runtime's message of the one that gave nothing."""

    old: Any = None
    new: Any = None
    old_refused: str = ""
    new_refused: str = ""


class Runnable:
    """A half that has been loaded.

    Raises:
        Failed: the runtime does not take it.
    """

    def __init__(self, half: Half) -> None:
        self.half = half
        try:
            self._session = ort.InferenceSession(
                half.proto.SerializeToString(), _options(half), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime raises a dozen types with no common base
            raise Failed(_words(error)) from None
        self.type: str = self._session.get_outputs()[0].type  # of its output, "tensor(float)"

    def run(self, feeds: Feeds, seconds: float = _MOST, names: tuple[str, ...] = (OUTPUT,)) -> list[Any]:
        """The outputs `names` for `feeds`.

        Raises:
            Failed: the run failed, or the time was over.
        """
        options = ort.RunOptions()
        options.log_severity_level = 4
        with _WATCH.over(options, seconds):
            try:
                return list(self._session.run(names, dict(feeds), options))
            except Exception as error:
                late = bool(options.terminate)
                raise Failed(f"did not end within {seconds:.3g} s" if late else _words(error), timed_out=late) from None


class _Watch:
    """Ends runs that take too long. One thread watches all; to start one for each takes longer than most runs."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[float, ort.RunOptions]] = {}
        self._started = threading.Lock()

    @contextlib.contextmanager
    def over(self, options: ort.RunOptions, seconds: float) -> Iterator[None]:
        """While this lasts, the run that has `options` is told to stop once `seconds` are over."""
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._look, daemon=True).start()
        self._watched[id(options)] = time.monotonic() + seconds, options
        try:
            yield
        finally:
            del self._watched[id(options)]

    def _look(self) -> None:
        while True:
            time.sleep(_PERIOD)
            for end, options in list(self._watched.values()):
                if time.monotonic() > end:
                    options.terminate = True


_WATCH = _Watch()


class Trial:
    """Both halves of a cut.

    Args:
        before: the half of the model before.
        after: the half of the model after.
        guards: tensors of the half before that a promise bounds; what takes one outside is no
            evidence.
        left: how many seconds there are, at any moment.

    Raises:
        Failed: the runtime does not take the half before.
    """

    def __init__(
        self, before: Half, after: Half, guards: Mapping[str, tuple[float, float]], left: Callable[[], float]
    ) -> None:
        self.before, self.after = before, after
        self.operators = before.operators | after.operators
        self.guards = dict(guards)
        self._inner = tuple(name for name in guards if not name.startswith("x"))
        self._left = left
        for name in self._inner:
            before.proto.graph.output.add().name = name
        self.old = Runnable(before)
        if self.old.type.startswith("tensor(") and not _NUMPY.fullmatch(self.old.type):
            for half in (before, after):
                half.widen()
            self.old = Runnable(before)
        self.new: Runnable | None = None
        self.broken = ""  # why the half after can't be loaded
        try:
            self.new = Runnable(after)
        except Failed as error:
            self.broken = str(error)

    def run(self, feeds: Feeds) -> Result:
        """Run both; the half after only where the one before gives a result.

        Raises:
            Failed: there is no time left, or one of the two took too long: this is no evidence.
        """
        seconds = min(_MOST, max(self._left(), 0.05))
        result = Result()
        try:
            result.old, *guarded = self.old.run(feeds, seconds, (OUTPUT, *self._inner))
        except Failed as error:
            if error.timed_out:
                raise
            result.old_refused = str(error)
            return result
        bounded = {**feeds, **dict(zip(self._inner, guarded, strict=True))}
        if not all(_inside(bounded[name], *limits) for name, limits in self.guards.items()):
            result.old_refused = "outside of what is promised"
            return result
        if self.new is None:
            result.new_refused = self.broken
            return result
        try:
            result.new = self.new.run(feeds, seconds)[0]
        except Failed as error:
            if error.timed_out:
                raise
            result.new_refused = str(error)
        return result


def _inside(value: Any, low: float, high: float) -> bool:
    return (
        not isinstance(value, np.ndarray) or value.dtype.kind != "f" or bool(((value >= low) & (value <= high)).all())
    )


def _options(half: Half) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one shape, and every run has another
    options.enable_cpu_mem_arena = False  # what hundreds of small sessions would keep adds up
    options.add_session_config_entry("session.disable_prepacking", "1")  # no second copy of weights
    folder = str(half.folder.resolve())
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return options


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
