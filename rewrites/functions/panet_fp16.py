"""Keep a PANet's backbone within half precision, by powers of two moved between weights.

    c4 ── conv1 ── norm1 ── Relu ── conv2 ── norm2 ──┐
     └────────────────────────────── downsample ── Add ── Relu ── ... ── reduce
                                        =>
    c4 ── conv1/32 ── norm1' ── Relu ── conv2 ── norm2' ──┐
     └─────────────────────────────── downsample/32 ── Add ── Relu ── ... ── reduce*32

The convolutions that enter a stage of the ResNet before an FPEM_FFM neck (conv1 of its first block,
and ``downsample``) are divided by 2^shift, bias and running mean of every norm in the stage, too;
every convolution that reads the stage's result is multiplied by it (``reduce_conv`` of the neck, and
what enters the next stage). Convolution, norm, Add and Relu pass the factor on: every tensor of the
stage is smaller by it, sums, norms and the convolutions' own results, in whichever block. No node is
added, and nothing is decided while tracing.

``shift`` is for the last stage. With ``images``, an npz of normalised inputs, each stage gets the
least shift that keeps what they reach below half of 65504, and stages that stay below it get none.

Why: half precision ends at 65504, and PANet's layer4 goes beyond it on natural images: MMOCR's page
on deployment has a rewriter that divides by 32 within the last block and multiplies in the neck.
That one overflows still where another block does, or the convolution, or the bias; it is not for
the classes of mmocr 1.x; and it decides by the example image.
Numbers: a power of two moves the exponent alone, so in float32 the result has the same bits.
Refuses: norms other than BatchNorm, plugins, weights that the factor would take out of half's range,
images that overflow where a shift does not help; a model that is no such PANet.
"""

from surgery import BadInput, Exact, Refused, Rewriter

HALF = 65504.0  # the largest finite number of half precision


class PanetFp16(Rewriter):
    """See the module."""

    contract = Exact()
    backends = ("atc", "mindspore", "tensorrt")
    shift: int = 5  # the power of two that the last stage is divided by
    images: str = ""  # an npz of inputs to choose shifts by, for every stage

    def alter(self, module, change):
        for backbone, neck in _pairs(module):
            stages = [getattr(backbone, name) for name in backbone.res_layers]
            shifts = _choose(module, stages, self.images) if self.images else [0, 0, 0, self.shift]
            for i, (stage, shift) in enumerate(zip(stages, shifts, strict=True)):
                if shift:
                    readers = [getattr(neck, f"reduce_conv_c{i + 2}")[0]]
                    readers += _entries(stages[i + 1]) if i < 3 else []
                    _scale(stage, readers, 2.0**-shift, change)


def _pairs(module):
    """Backbone and neck of each PANet in a module."""
    found = []
    for part in module.modules():
        backbone, neck = getattr(part, "backbone", part), getattr(part, "neck", part)
        if _is(neck, "mmocr.models.textdet.necks.fpem_ffm.FPEM_FFM") and _is(
            backbone, "mmdet.models.backbones.resnet.ResNet"
        ):
            if tuple(backbone.out_indices) != (0, 1, 2, 3):
                raise Refused(f"panet-fp16 knows a backbone that gives four stages, not {backbone.out_indices}")
            found.append((backbone, neck))
    return found


def _is(part, path):
    return any(f"{c.__module__}.{c.__qualname__}" == path for c in type(part).__mro__)


def _entries(stage):
    """The convolutions that read what enters a stage."""
    first = stage[0]
    found = [first.conv1]
    if first.downsample is not None:
        found += [part for part in first.downsample if hasattr(part, "kernel_size") and hasattr(part, "weight")]
    return found


def _scale(stage, readers, factor, change):
    entries = _entries(stage)
    if stage[0].downsample is None:
        raise Refused("panet-fp16 knows stages that begin with a downsample, for there the factor enters")
    for part in stage.modules():
        if getattr(part, "with_plugins", False):
            raise Refused("panet-fp16: a block of the backbone has plugins, which may not pass a factor on")
        if list(part.children()) or not list(part.parameters()):
            continue
        kind = type(part).__name__
        if kind in ("BatchNorm2d", "SyncBatchNorm") and part.running_mean is not None:
            change(part, "running_mean", part.running_mean * factor)
        elif kind != "Conv2d":
            raise Refused(f"panet-fp16 knows convolutions and BatchNorm in a backbone, not {kind}")
        if part.bias is not None:
            change(part, "bias", part.bias * factor)
    for conv in entries:
        change(conv, "weight", conv.weight * factor)
    for conv in readers:
        largest = float(conv.weight.detach().abs().max()) / factor
        if largest > HALF:
            raise Refused(f"panet-fp16: a weight would become {largest:.3g}, beyond half precision; try a lower shift")
        change(conv, "weight", conv.weight / factor)


def _choose(module, stages, images):
    """The least shift of each stage that keeps what the images reach below half of 65504."""
    import math

    peaks = _peaks(module, images)
    parts = [set(stage.modules()) for stage in stages]
    reached = [max(peak for part, peak in peaks.items() if part in own) for own in parts]
    others = {part: peak for part, peak in peaks.items() if not any(part in own for own in parts)}
    highest = max(others, key=others.__getitem__)
    if others[highest] > HALF:
        name = next(name for name, part in module.named_modules() if part is highest)
        raise Refused(
            f"panet-fp16: on these images {others[highest]:.3g} is reached outside the stages of the backbone",
            where=name,
            cure="that part has to stay in float32, which is for the compiler's own options",
        )
    shifts = [max(math.ceil(math.log2(max(peak, 1.0) * 2 / HALF)), 0) for peak in reached]
    if not any(shifts):
        raise Refused(
            f"panet-fp16: on these images no stage goes beyond {HALF / 2:g}", cure="leave it out: half will do"
        )
    return shifts


def _peaks(module, images):
    """The largest magnitude among what each part of a module takes and gives."""
    import numpy as np
    import torch

    try:
        with np.load(images, allow_pickle=False) as file:
            inputs = [torch.from_numpy(file[name]).float() for name in file.files]
    except (OSError, ValueError) as error:
        raise BadInput(f"can't be read as an npz: {error}", where=images) from error
    peaks: dict[object, float] = {}  # by part

    def look(part, values):
        for value in values if isinstance(values, tuple) else (values,):
            if isinstance(value, torch.Tensor):
                peaks[part] = max(peaks.get(part, 0.0), float(value.abs().max()))

    # What goes in is seen before: Relu works in place. What goes into a stage is another's result.
    leaves = [part for part in module.modules() if not list(part.children())]
    hooks = [part.register_forward_hook(lambda part, args, result: look(part, result)) for part in leaves]
    hooks += [part.register_forward_pre_hook(look) for part in leaves if type(part).__name__ == "ReLU"]
    try:
        with torch.no_grad():
            for value in inputs:
                module(value)
    finally:
        for hook in hooks:
            hook.remove()
    return peaks
