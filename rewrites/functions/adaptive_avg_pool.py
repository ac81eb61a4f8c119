"""Pool adaptively to any size, of inputs of any size.

    x ── adaptive_avg_pool2d(oh, ow) ── y    =>    x ── AveragePool(h/oh, w/ow) ── y
                                             or    x ── MatMul rows ── MatMul columns ── y

Output o of s is the mean of the inputs i of n that it overlaps, by the definition from floor(o * n / s) to
ceil((o + 1) * n / s), which is where -s < i * s - o * n < n. Where n is known and s divides it that is a plain pooling.
Else it is a product with a matrix of weights: a constant where n is known, and computed from the input's size where
that is dynamic.

Why: torch's TorchScript exporter has AdaptiveAvgPool2d only where the size is known and divides the input's; its
dynamo exporter fixes the windows at the size that it was traced with, and writes dozens of nodes where none divides.
mmdeploy's own rewriter takes a kernel of n // o, which is another result where it does not divide: of 7 to 3 it gives
4, 6, 8 in place of 8, 10, 12.
Numbers: the same means, in another order of summation.
Refuses: nothing. To size 1, to one that TorchScript computes, and of inputs without a batch, torch's own stays.
"""

import functools

from surgery import Close, Rewriter, replaces


class AdaptiveAvgPool(Rewriter):
    """See the module."""

    contract = Close(rtol=1e-5, atol=1e-6)

    @replaces("torch.nn.functional.adaptive_avg_pool2d")
    def pool(self, original, input, output_size):
        import torch

        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        computed = any(isinstance(size, torch.Tensor) for size in sizes)
        if computed or input.dim() != 4 or all(size == 1 for size in sizes):
            return original(input, output_size)
        if torch.jit.is_tracing():
            return _traced().apply(input, *sizes)
        if torch.compiler.is_exporting():
            return _exported(input, sizes)
        return original(input, output_size)


def _kernel(counts, sizes):
    """The window of a plain pooling, by axis; None where there is none, or the count is dynamic (None)."""
    pairs = zip(counts, sizes, strict=True)
    return [1 if size is None else n // size if n is not None and n % size == 0 else None for n, size in pairs]


def _exported(input, sizes):
    """What dynamo traces; there, a size that is fixed is a number."""
    import torch

    counts = input.shape[-2:]
    kernel = _kernel([n if isinstance(n, int) else None for n in counts], sizes)
    if None not in kernel:
        return torch.nn.functional.avg_pool2d(input, kernel)
    for axis, size, count, window in zip((-2, -1), sizes, counts, kernel, strict=True):
        if size == 1:
            input = input.mean(axis, keepdim=True)
        elif window != 1:
            weights = _weights(size, count, input.dtype).to(input.device)
            input = weights.T @ input if axis == -2 else input @ weights
    return input


def _weights(size, count, dtype):
    """(count, size): the share of each input in each output."""
    import torch

    ahead = size * torch.arange(count).unsqueeze(1) - count * torch.arange(size)
    within = ((ahead > -size) & (ahead < count)).to(dtype)
    return within / within.sum(0)


@functools.cache
def _traced():
    """A function that TorchScript traces as one node, spelt out once the exporter knows which sizes are dynamic."""
    import torch

    class Pool(torch.autograd.Function):
        @staticmethod
        def forward(ctx, input, *sizes):
            whole = [n if size is None else size for size, n in zip(sizes, input.shape[-2:], strict=True)]
            return torch.ops.aten.adaptive_avg_pool2d(input, whole)

        @staticmethod
        def symbolic(g, x, *sizes):
            counts = x.type().varyingSizes()[-2:]
            kernel = _kernel(counts, sizes)
            if None not in kernel:
                return g.op("AveragePool", x, kernel_shape_i=kernel, strides_i=kernel)
            dtype = torch.onnx.JitScalarType.from_value(x).dtype()
            for axis, size, count, window in zip((2, 3), sizes, counts, kernel, strict=True):
                if size == 1:
                    x = _reduce(g, "ReduceMean", x, axis, 18, keepdims_i=1)
                elif window != 1:
                    fixed = None if count is None else _constant(g, _weights(size, count, dtype))
                    weights = fixed or _computed(g, x, axis, size, dtype)
                    if axis == 2:
                        x = g.op("MatMul", g.op("Transpose", weights, perm_i=[1, 0]), x)
                    else:
                        x = g.op("MatMul", x, weights)
            return x

    return Pool


def _computed(g, x, axis, size, dtype):
    """`_weights` as ONNX, of the input that the model gets."""
    count = g.op("Gather", g.op("Shape", x), _constant(g, axis))
    inputs = g.op("Range", _constant(g, 0), g.op("Mul", count, _constant(g, size)), _constant(g, size))
    outputs = g.op("Mul", _constant(g, range(size)), count)
    ahead = g.op("Sub", g.op("Reshape", inputs, _constant(g, [-1, 1])), outputs)
    within = g.op("And", g.op("Greater", ahead, _constant(g, -size)), g.op("Less", ahead, count))
    within = g.op("Where", within, _constant(g, 1, dtype), _constant(g, 0, dtype))
    return g.op("Div", within, _reduce(g, "ReduceSum", within, 0, 13, keepdims_i=0))


def _reduce(g, operator, x, axis, since, **settings):
    """A reduction; from opset `since` on its axis is an input."""
    if g.opset >= since:
        return g.op(operator, x, _constant(g, [axis]), **settings)
    return g.op(operator, x, axes_i=[axis], **settings)


def _constant(g, value, dtype=None):
    import torch

    value = value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=dtype or torch.int64)
    return g.op("Constant", value_t=value)
