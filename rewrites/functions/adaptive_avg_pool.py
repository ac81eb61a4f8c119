"""Pool adaptively to any size, of inputs of any size.

    x ── adaptive_avg_pool2d(oh, ow) ── y    =>    x ── MatMul rows ── MatMul columns ── y

Each output is the mean of the inputs from floor(i * n / o) to ceil((i + 1) * n / o); both means are
products with a matrix of weights, which the model makes from its own input's size.

Why: torch exports AdaptiveAvgPool2d only where the size is known and divides the input's; mmdeploy's
own rewriter takes a kernel of n // o, which is another result where it does not divide: of 7 to 3 it
gives 4, 6, 8 in place of 8, 10, 12.
Numbers: the same means, in another order of summation.
Refuses: nothing. Where the output is of size 1, or of the input's size, torch's own stays. Where nothing is dynamic
the pass `cleanup` makes two MatMul of it.
"""

from surgery import Close, Rewriter, replaces


class AdaptiveAvgPool(Rewriter):
    """See the module."""

    contract = Close(rtol=1e-5, atol=1e-6)
    exporters = ("torchscript",)

    @replaces("torch.nn.functional.adaptive_avg_pool2d")
    def pool(self, original, input, output_size):
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        have = input.shape[-2:]
        if not _tracing() or all(int(o or n) in (1, int(n)) for o, n in zip(sizes, have, strict=True)):
            return original(input, output_size)
        for axis, size, count in ((-2, sizes[0], have[0]), (-1, sizes[1], have[1])):
            if size is not None and int(size) != 1:
                weights = _weights(int(size), count, input)
                input = (input.transpose(axis, -1) @ weights).transpose(axis, -1)
            elif size is not None:
                input = input.mean(axis, keepdim=True)
        return input


def _tracing():
    import torch

    return torch.jit.is_tracing()


def _weights(size, count, like):
    """(count, size): the share of each input in each output."""
    import torch

    # `count` is a number of the trace, so that the matrix follows the input that the model gets.
    outputs = torch.arange(size, device=like.device)
    inputs = torch.arange(count, device=like.device).unsqueeze(1)
    first = torch.div(outputs * count, size, rounding_mode="floor")
    last = torch.div((outputs + 1) * count + size - 1, size, rounding_mode="floor")
    within = ((inputs >= first) & (inputs < last)).to(like.dtype)
    return within / (last - first).to(like.dtype)
