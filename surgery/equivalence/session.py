"""Run a subject on ONNX Runtime: optimisation off, silent, within a time."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnx import TensorProto

from surgery.equivalence.subject import Subject

_TENSOR = re.compile(r"tensor\((float|float16|double|u?int(?:8|16|32|64)|bool|string|complex64|complex128)\)")

Values = dict[str, Any]  # arrays (or lists of them, for sequences; None, for optionals) by name


class Failed(Exception):
    """The runtime can't load or run the model.

    ``node`` is the name in the copy ("n611") of the node that failed, or "".
    """

    def __init__(self, text: str, node: str = "", *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.node = node
        self.timed_out = timed_out


class Session:
    """A subject that has been loaded.

    Args:
        subject: what to run.
        extra: tensors to fetch besides the outputs, as far as numpy has their type.
        only: fetch these alone, and run only what they need: often a small part.
        optimise: as users run it, graph optimised and weights repacked; only to learn how much
            that moves results.
        threads: within an operator. One is quickest where two runs go on at once, and a
            result to the bit is only had at equal numbers.

    Raises:
        Failed: the runtime does not take the model.
    """

    def __init__(
        self,
        subject: Subject,
        extra: Sequence[str] = (),
        *,
        only: bool = False,
        optimise: bool = False,
        threads: int = 1,
    ) -> None:
        self.subject = subject
        self._data = (subject.upto(extra) if only else subject).serialise(extra)
        self._options = _options(subject, optimise, threads)
        self._session = self._load()
        # Of what numpy lacks, bfloat16 for one, the outputs are cast in the copy; extras are left out.
        types = {value.name: value.type for value in self._session.get_outputs()}
        self.names = [name for name, type_ in types.items() if _TENSOR.search(type_) or "map" in type_]
        self._takes = {value.name for value in self._session.get_inputs()} if only else None
        self.elems: dict[str, int] = {  # of those that are tensors
            name: TensorProto.DataType.Value(found[1].upper())
            for name, type_ in types.items()
            if (found := _TENSOR.fullmatch(type_))
        }

    def run(self, feeds: Mapping[str, Any], names: Sequence[str] | None = None, seconds: float = 60.0) -> Values:
        """Run once, and give the tensors `names`, or all outputs and extras.

        Args:
            feeds: values by the subject's own input names, or by those of the copy.
            names: what to fetch.
            seconds: after this time the runtime is told to stop; it does between two nodes.

        Raises:
            Failed: the run failed, or the time was over.
        """
        # The second run of one session would draw other numbers.
        session = self._load() if self.subject.random else self._session
        via = {port.name: port.via for port in self.subject.inputs}
        options = ort.RunOptions()
        options.log_severity_level = 4
        timer = threading.Timer(seconds, lambda: setattr(options, "terminate", True))
        timer.daemon = True
        timer.start()
        wanted = list(names) if names is not None else self.names
        try:
            fed = {via.get(name, name): value for name, value in feeds.items()}
            if self._takes is not None:
                fed = {name: value for name, value in fed.items() if name in self._takes}
            return dict(zip(wanted, session.run(wanted, fed, options), strict=True))
        except Exception as error:  # the runtime raises a dozen types with no common base
            if options.terminate:
                raise Failed(f"did not end within {seconds:.3g} s", timed_out=True) from None
            raise _failed(error, self.subject) from None
        finally:
            timer.cancel()

    def _load(self) -> ort.InferenceSession:
        try:
            return ort.InferenceSession(self._data, self._options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _failed(error, self.subject) from None


def as_users_run_it(path: Path, feeds: Mapping[str, Any]) -> Values:
    """The outputs of a model file at the runtime's defaults; empty where that fails."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except Exception:  # the runtime raises its own kinds
        return {}


def extras(subject: Subject) -> list[str]:
    """The tensors to fetch besides the outputs: logits and conditions."""
    return list(dict.fromkeys([*(tap.tensor for tap in subject.taps), *subject.conditions]))


def _options(subject: Subject, optimise: bool, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one shape, and every probe has another
    if not optimise:
        options.add_session_config_entry("session.disable_prepacking", "1")  # no second copy of weights
    folder = str(subject.path.resolve().parent)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return options


def _failed(error: Exception, subject: Subject) -> Failed:
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    # Where in the runtime's source it was noticed, and the signature there.
    text = re.sub(r"/\S+\.(cc|h):\d+ \S+ |(virtual )?onnxruntime::[^)]*\) (const )?", "", text)
    found = re.findall(r"[Nn]ame:\s?'(n\d+)'|\((n\d+)\)|node \(?'?(n\d+)\b", text)
    node = next((name for name in found[-1] if name), "") if found else ""
    if len(text) > 400:
        text = text[:397] + "..."
    return Failed(subject.explain(text), node)
