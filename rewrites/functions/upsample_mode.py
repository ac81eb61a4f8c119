"""Upsample linearly where text detectors take the nearest pixel.

    neck:  Resize nearest ── Add  ...      =>      Resize linear ── Add  ...

Inside the necks of mmocr's PANet (FPEM), DBNet and DBNet++ (FPNC) and PSENet (FPNF), every
``interpolate`` that names no mode, or nearest, is bilinear; the rest of the model is as it was. The
necks write the mode as a literal, so there is no attribute of theirs to set.

Why: compilers differ on which pixel is the nearest (TensorRT before 8 takes another than torch
does: mmdeploy, mmocr/models/text_detection/fpn_cat.py), and on all of them bilinear is the same.
For a model that is exported already, the pass of this name does the same.
Numbers: results change; on an untrained PANet by 1e-3 of values up to 0.1. Train with the mode set,
or measure on images of yours what it costs; `surgery export --show` pictures the result.
Refuses: a model without such a neck.
"""

from surgery import Changes, Rewriter, replaces


class UpsampleMode(Rewriter):
    """See the module."""

    contract = Changes("the necks upsample linearly instead of taking the nearest pixel")
    align_corners: bool = False  # whether the corners' centres coincide

    _depth = 0  # of calls of necks

    @replaces("mmocr.models.textdet.necks.fpem_ffm.FPEM.forward")
    @replaces("mmocr.models.textdet.necks.fpn_cat.FPNC.forward")
    @replaces("mmocr.models.textdet.necks.fpnf.FPNF.forward")
    def neck(self, original, module, *args, **kwargs):
        self._depth += 1
        try:
            return original(*args, **kwargs)
        finally:
            self._depth -= 1

    @replaces("torch.nn.functional.interpolate")
    def interpolate(
        self,
        original,
        input,
        size=None,
        scale_factor=None,
        mode="nearest",
        align_corners=None,
        recompute_scale_factor=None,
        antialias=False,
    ):
        if self._depth and mode == "nearest":
            mode, align_corners = "bilinear", self.align_corners
        return original(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
