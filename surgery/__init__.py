"""Operate on a trained model between its exporter and its compiler, and prove every cut.

    import surgery

    result = surgery.apply("rare.onnx", ["gridsample"])
    surgery.save(result.model, "rare.surgery.onnx")

Names are loaded when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from surgery import deferred

if TYPE_CHECKING:
    from surgery.authoring import Pass
    from surgery.clean import drop_dead, tidy
    from surgery.contract import Changes, Close, Exact
    from surgery.edit import Edit
    from surgery.engine import Result, apply
    from surgery.errors import BadInput, Missing, Refused, SurgeryError
    from surgery.exporter.context import Loose, patched
    from surgery.exporter.export import Exported, export
    from surgery.extents import Extents
    from surgery.inference import Contradiction
    from surgery.lookup import find_nodes, find_tensor, missing
    from surgery.model import load, save
    from surgery.nested import graphs
    from surgery.optimizers import optimize
    from surgery.report import Report, Verification
    from surgery.respelling import respell
    from surgery.rewriting import Rewriter, replaces
    from surgery.targets.check import check
    from surgery.targets.compile import Compiled, compile
    from surgery.targets.finding import Finding
    from surgery.verification import verify

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Changes",
    "Close",
    "Compiled",
    "Contradiction",
    "Edit",
    "Exact",
    "Exported",
    "Extents",
    "Finding",
    "Loose",
    "Missing",
    "Pass",
    "Refused",
    "Report",
    "Result",
    "Rewriter",
    "SurgeryError",
    "Verification",
    "apply",
    "check",
    "compile",
    "drop_dead",
    "export",
    "find_nodes",
    "find_tensor",
    "graphs",
    "load",
    "missing",
    "optimize",
    "patched",
    "replaces",
    "respell",
    "save",
    "tidy",
    "verify",
]

deferred.install()

_HOMES = {
    "Pass": "authoring",
    **dict.fromkeys(("drop_dead", "tidy"), "clean"),
    **dict.fromkeys(("Changes", "Close", "Exact"), "contract"),
    "Edit": "edit",
    **dict.fromkeys(("Result", "apply"), "engine"),
    "Contradiction": "inference",
    "Extents": "extents",
    **dict.fromkeys(("BadInput", "Missing", "Refused", "SurgeryError"), "errors"),
    **dict.fromkeys(("find_nodes", "find_tensor", "missing"), "lookup"),
    **dict.fromkeys(("Loose", "patched"), "exporter.context"),
    **dict.fromkeys(("Exported", "export"), "exporter.export"),
    **dict.fromkeys(("load", "save"), "model"),
    "graphs": "nested",
    "optimize": "optimizers",
    **dict.fromkeys(("Report", "Verification"), "report"),
    "respell": "respelling",
    "check": "targets.check",
    **dict.fromkeys(("Compiled", "compile"), "targets.compile"),
    "Finding": "targets.finding",
    "verify": "verification",
    **dict.fromkeys(("Rewriter", "replaces"), "rewriting"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"surgery.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
