"""The plugin for mmdeploy: name it in a deploy config, and export as before.

    codebase_config = dict(
        type='mmocr', task='TextDetection', module=['rewrites.mmdeploy'],
        rewrites=['upsample-mode'],  # rewriters besides those that change nothing
    )

Whenever mmdeploy enters its rewriter context, the rewriters of the registry that fit its backend and
opset are registered with FUNCTION_REWRITER, and win over mmdeploy's own for the same function. They
are functions that hold what they need themselves: mmdeploy copies a function's globals, so what it
kept there would be lost. What rewriters change in the model they change while torch.onnx.export runs.

Without repairs mmdeploy 1.3.1 exports nothing on today's torch and numpy. Those of `rewrites._openmmlab`
are made when this module is imported, and two of mmdeploy itself:

- ``torchscript``: torch.onnx.export is called with ``dynamo=False``, for mmdeploy's arguments are those
  of the exporter that was the default up to torch 2.8;
- ``results``: the rewriters of mmdeploy that change results in silence are left out (`WRONG`).

``SURGERY_REPAIRS`` in the environment says which repairs to make: names joined by commas, or nothing at
all for none. A program that imports mmocr itself imports this module first.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from rewrites import _openmmlab
from rewrites.mmocr import INSTALL
from surgery import BadInput, Missing, patched

if TYPE_CHECKING:
    from surgery import Loose

# mmdeploy's rewriters that give other results than what they replace, as measured on 1.3.1.
WRONG = {
    "torch.atan2": "it is atan(y / (x + 1e-6)): the quadrant is lost",
    "torch.linspace": "of 1 to 0 in 5 steps it gives nothing, of 5 to 0 in 6 steps four values",
    "torch.nn.functional.adaptive_avg_pool2d": "it is wrong where the size does not divide the input's",
    "torch.nn.functional.scaled_dot_product_attention": "it divides by scale, and forgets is_causal",
    "torch.Tensor.masked_fill": "-inf becomes -1e34, which is -inf in half precision again, and NaN after Softmax",
    "torch.Tensor.masked_fill_": "as masked_fill",
    "mmocr.models.textdet.FPNC.forward": "for TensorRT it drops the attention branch of DBNet++",
}
OWN_REPAIRS = ("torchscript", "results")


class Plugin:
    """Joins the rewriters to one FUNCTION_REWRITER of mmdeploy.

    Args:
        rewriter: mmdeploy's.
        repairs: the names of those made, or to be made.
    """

    def __init__(self, rewriter: Any, repairs: set[str]) -> None:
        self.rewriter = rewriter
        self.repairs = repairs
        self._stack: list[Loose] = []
        self._enter, self._exit = rewriter.enter, rewriter.exit
        self._get_records = rewriter._registry.get_records
        rewriter.enter, rewriter.exit = self.enter, self.exit
        rewriter._registry.get_records = self.get_records

    def enter(self, cfg: Any = None, env: Any = None, **kwargs: Any) -> None:
        """Register what is in force for this export, then let mmdeploy enter."""
        codebase = (cfg or {}).get("codebase_config", {})
        backend = str(getattr((env or {}).get("backend"), "value", "default"))
        force = patched(
            *codebase.get("rewrites", ()),
            backend=_BACKENDS.get(backend, backend),
            opset=kwargs.get("opset") or (cfg or {}).get("onnx_config", {}).get("opset_version"),
            exporter="torchscript",
        ).loose()
        for path, function in force.functions.items():
            self.rewriter.register_rewriter(func_name=path)(function)
        self._stack.append(force)
        try:
            self._enter(cfg or {}, env or {}, **kwargs)
        except BaseException:
            self._forget()
            raise

    def exit(self) -> None:
        """Let mmdeploy leave, and see that what was named was called."""
        try:
            self._exit()
        finally:
            force = self._forget()
        if sys.exc_info()[0] is None:
            force.check()

    def get_records(self, env: Any) -> list[tuple[str, dict[str, Any]]]:
        """mmdeploy's choice without what ours replace, and without what is wrong; then ours."""
        made = list(self._stack[-1].functions.values()) if self._stack else []
        records = self.rewriter._registry._rewrite_records
        ours = [(path, record) for path, several in records.items() for record in several if record["_object"] in made]
        taken = {_resolved(path) for path, _ in ours}
        taken |= {_resolved(path) for path in WRONG} if "results" in self.repairs else set()
        theirs = self._get_records(env)
        return [(path, record) for path, record in theirs if _resolved(path) not in taken - {None}] + ours

    def export(self, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """torch.onnx.export as mmdeploy means it, the model altered while it runs."""
        if not self._stack:
            return original(model, *args, **kwargs)
        if "torchscript" in self.repairs:
            kwargs.setdefault("dynamo", False)
        with self._stack[-1].altered(model):
            return original(model, *args, **kwargs)

    def _forget(self) -> Loose:
        force = self._stack.pop()
        for function in force.functions.values():
            self.rewriter._registry.remove_record(function)
        return force


# mmdeploy's names of backends where ours differ.
_BACKENDS = {"default": None, "ascend": "atc"}


def _resolved(path: str) -> tuple[int, str] | None:
    """What a path leads to: the identity of its holder, and the name there."""
    from mmdeploy.core.rewriters.rewriter_utils import eval_with_import

    holder, _, name = path.rpartition(".")
    try:
        return id(eval_with_import(holder)), name
    except Exception:  # not installed; mmdeploy warns of it
        return None


def _install() -> Plugin:
    wanted = os.environ.get("SURGERY_REPAIRS")
    every = {*_openmmlab.ALL, *OWN_REPAIRS}
    repairs = every if wanted is None else set(filter(None, wanted.split(",")))
    if unknown := repairs - every:
        raise BadInput(f"there is no repair {sorted(unknown)[0]!r}", cure=f"there is: {', '.join(sorted(every))}")
    _openmmlab.repair(sorted((repairs - {*OWN_REPAIRS}) & {*_openmmlab.FOR_MMOCR}))
    try:
        import torch
        from mmdeploy.core import FUNCTION_REWRITER
    except ImportError as error:
        raise Missing(f"mmdeploy can't be imported: {error}", cure=INSTALL) from error
    _openmmlab.repair(sorted(repairs - {*OWN_REPAIRS, *_openmmlab.FOR_MMOCR}))
    plugin = Plugin(FUNCTION_REWRITER, repairs)
    torch.onnx.export = functools.wraps(torch.onnx.export)(functools.partial(plugin.export, torch.onnx.export))
    return plugin


PLUGIN = _install()
