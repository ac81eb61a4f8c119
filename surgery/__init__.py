"""Operate on a trained model between its exporter and its compiler, and prove every cut.

    import surgery

    result = surgery.apply("rare.onnx", ["gridsample"])
    surgery.save(result.model, "rare.surgery.onnx")

Names are loaded when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgery.authoring import Pass
    from surgery.contract import Changes, Close, Exact
    from surgery.edit import Edit
    from surgery.engine import Result, apply
    from surgery.equivalence import verify
    from surgery.errors import BadInput, Missing, Refused, SurgeryError
    from surgery.exporter.context import Loose, patched
    from surgery.exporter.export import Exported, export
    from surgery.model import load, save
    from surgery.report import Report, Verification
    from surgery.rewriting import Rewriter, replaces

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Changes",
    "Close",
    "Edit",
    "Exact",
    "Exported",
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
    "export",
    "load",
    "patched",
    "replaces",
    "save",
    "verify",
]

_HOMES = {
    "Pass": "authoring",
    **dict.fromkeys(("Changes", "Close", "Exact"), "contract"),
    "Edit": "edit",
    **dict.fromkeys(("Result", "apply"), "engine"),
    "verify": "equivalence",
    **dict.fromkeys(("BadInput", "Missing", "Refused", "SurgeryError"), "errors"),
    **dict.fromkeys(("Loose", "patched"), "exporter.context"),
    **dict.fromkeys(("Exported", "export"), "exporter.export"),
    **dict.fromkeys(("load", "save"), "model"),
    **dict.fromkeys(("Report", "Verification"), "report"),
    **dict.fromkeys(("Rewriter", "replaces"), "rewriting"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"surgery.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
