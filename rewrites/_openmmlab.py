"""What OpenMMLab's packages of 2023 need in order to run on today's torch and numpy.

Each repair is one function; it does nothing where what it repairs is not broken. They are made
before the packages are imported.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterable
from typing import Any

from surgery import BadInput


def mmcv_ops() -> None:
    """Let mmcv-lite be imported: ``mmcv/ops`` asks for the compiled ``mmcv._ext``, which that wheel lacks.

    A module stands in whose operators raise when they are called. It has a spec without a loader,
    by which mmengine tells that the operators are absent.
    """
    if importlib.util.find_spec("mmcv") is None or "mmcv._ext" in sys.modules:
        return
    if importlib.util.find_spec("mmcv._ext") is not None:
        return

    def absent(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)

        def operator(*args: object, **kwargs: object) -> None:
            raise NotImplementedError(f"mmcv's operator {name} is compiled; mmcv-lite has none: install mmcv")

        return operator

    _stand_in("mmcv._ext").__getattr__ = absent  # type: ignore[method-assign]


def numpy_sctypes() -> None:
    """Give numpy back ``sctypes``, removed in 2.0: imgaug 0.4.0, which mmocr's datasets use, reads it."""
    import numpy as np

    if hasattr(np, "sctypes"):
        return
    np.sctypes = {  # type: ignore[attr-defined]
        "int": [np.int8, np.int16, np.int32, np.int64],
        "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        "float": [np.float16, np.float32, np.float64],
        "complex": [np.complex64, np.complex128],
        "others": [bool, object, bytes, str, np.void],
    }


def torchvision() -> None:
    """Let ``import torchvision.transforms`` pass where torchvision is absent: mmocr imports it for one transform.

    The stand-ins have specs, for torch.export asks for that of torchvision.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    _stand_in("torchvision").transforms = _stand_in("torchvision.transforms")  # type: ignore[attr-defined]


def fx_wrapped() -> None:
    """Let mmdeploy leave its context: it pops torch.fx's list of wrapped functions, a dict by now.

    Without it leaving raises ``KeyError: -1`` over any error from within, and restores nothing.
    """
    module: Any = importlib.import_module("mmdeploy.core.rewriters.function_rewriter")
    if not isinstance(module._wrapped_fns_to_patch, list):
        module._wrapped_fns_to_patch = []


ALL = {
    "mmcv-ops": mmcv_ops,
    "numpy-sctypes": numpy_sctypes,
    "torchvision": torchvision,
    "fx-wrapped": fx_wrapped,
}
FOR_MMOCR = ("mmcv-ops", "numpy-sctypes", "torchvision")


def repair(names: Iterable[str]) -> None:
    """Make the repairs of these names.

    Raises:
        BadInput: there is none of a name.
    """
    for name in names:
        if name not in ALL:
            raise BadInput(f"there is no repair {name!r}", cure=f"there is: {', '.join(ALL)}")
        ALL[name]()


def _stand_in(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package="." not in name)
    if "." not in name:
        module.__path__ = []
    sys.modules[name] = module
    return module
