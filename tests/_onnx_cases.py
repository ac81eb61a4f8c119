"""The test cases of the onnx wheel, which it collects once a process, and for all operators or for one alone."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from typing import Any


@functools.cache
def cases() -> list[Any]:
    """Every case that has a model: 1,910 with onnx 1.23. What they print and warn of is on purpose."""
    from onnx.backend.test.case.model import collect_testcases as of_models
    from onnx.backend.test.case.node import collect_testcases as of_nodes

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        found = [*of_nodes(None), *of_models()]  # type: ignore[no-untyped-call, arg-type]
    return [case for case in found if case.model is not None]
