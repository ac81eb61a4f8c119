"""Put off what a dependency imports and seldom uses.

Two thirds of the time that ``import onnx_ir`` takes go to sympy, which it needs only where dims
are computed with. So sympy, and the module of onnx-ir that has a table of its functions, are loaded
when something of theirs is first used. Where sympy is loaded already, nothing is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_LATE = {"sympy", "onnx_ir._symbolic_shapes"}


class _Later:
    """A finder of modules that acts only while onnx-ir is being imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = sys.modules.get("onnx_ir")
        if name not in _LATE or not getattr(getattr(package, "__spec__", None), "_initializing", False):
            return None
        from importlib.util import LazyLoader

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def install() -> None:
    """Have it so from now on; again does nothing."""
    if not any(type(finder) is _Later for finder in sys.meta_path):
        sys.meta_path.insert(0, _Later())
