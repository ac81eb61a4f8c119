"""Write attributes out that compilers should take from the schema, and do not.

    x ── MaxPool(kernel_shape) ── y    =>    x ── MaxPool(kernel_shape, strides, pads, dilations) ── y

Strides, pads, dilations and kernels of convolutions and pools, the mode of Pad and Resize, perm of Transpose, the axis
of Gather and LogSoftmax, the axes of Slice, the value of ConstantOfShape; ``auto_pad`` becomes pads where lengths are
known. ``only=Pad;MaxPool`` names the operators; all by default.

Why: MNN 3.6.1 divides by zero where the strides of a pool are not written, refuses a convolution over 5 dims whose
kernel is not, takes other defaults for mode and axis, and fills with what lies in memory where no value is told; ncnn
refuses a Pad without mode, a Transpose without perm and a Gather without axis, and dies of a Slice without axes; ATC
does not know ``auto_pad`` for some operators.
Numbers: what is written is what the schema says (ONNX operator specification).
Refuses: nothing. A place is left whose rank is unknown, or whose lengths are free where ``auto_pad`` needs them, and a
LogSoftmax below opset 13 over several dims, which `softmax-flatten` takes.
"""

import numpy as np

from surgery import Exact, Pass

WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
WRITTEN = {"Gather": "axis", "LogSoftmax": "axis", "Pad": "mode", "Resize": "mode"}  # as the schema has it
DILATED_SINCE = {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}


class ExplicitAttributes(Pass):
    operator = (*WINDOWS, *WRITTEN, "ConstantOfShape", "Slice", "Transpose")
    contract = Exact()
    only: list[str] = []  # operators to take; none named takes all

    def rewrite(self, op, node):
        if self.only and node.op_type not in self.only:
            return op.skip("it was not asked for")
        written = {name: node.attr(name) for name in node.ir.attributes}
        if node.op_type == "Slice":
            return self.slice(op, node)
        if node.op_type in WRITTEN:
            name = WRITTEN[node.op_type]
            if node.op_type == "LogSoftmax" and op.opset < 13 and flattens(node.inputs[0].shape, node.attr(name)):
                return op.skip("below opset 13 it is over all dims from axis on")
            wanted = {name: node.attr(name)}
        elif node.op_type == "ConstantOfShape":
            if "value" in written:
                return op.skip("all is written")
            return op.ConstantOfShape(node.inputs[0], value=np.zeros(1, np.float32))
        elif node.op_type == "Transpose":
            if node.inputs[0].shape is None:
                return op.skip("the rank is unknown")
            wanted = {"perm": written.get("perm", list(range(len(node.inputs[0].shape)))[::-1])}
        else:
            wanted = self.window(op, node, written)
            if isinstance(wanted, str):
                return op.skip(wanted)
        told = {name: value for name, value in written.items() if name != "auto_pad" or "pads" not in wanted} | wanted
        if told == written:
            return op.skip("all is written")
        return getattr(op, node.op_type)(*node.inputs, outputs=len(node.outputs), **told)

    def slice(self, op, node):
        """With its axes: the first ones."""
        data, starts, ends, axes, steps = (*node.inputs, None, None, None, None)[:5]
        if axes is not None or "axes" in node.ir.attributes:
            return op.skip("all is written")
        if starts is None:
            starts, ends = (np.array(node.attr(name)) for name in ("starts", "ends"))
        if len(starts.shape or ()) != 1 or not isinstance(starts.shape[0], int):
            return op.skip("the number of axes is unknown")
        return op.Slice(data, starts, ends, np.arange(starts.shape[0]), *([] if steps is None else [steps]))

    def window(self, op, node, written):
        """Strides, dilations and pads, in numbers; or why they are unknown."""
        shape = node.inputs[0].shape
        weight = node.inputs[1].shape if node.op_type.startswith("Conv") else None
        kernel = written.get("kernel_shape") or list(weight or ())[2:]
        if shape is None:
            return "the rank is unknown"
        rank = len(shape) - 2
        if len(kernel) != rank or not all(isinstance(k, int) for k in kernel):
            return "the kernel's shape is unknown"
        ones = [1] * rank
        wanted = {"kernel_shape": kernel, "strides": written.get("strides", ones)}
        if op.opset >= DILATED_SINCE.get(node.op_type, 1):
            wanted["dilations"] = written.get("dilations", ones)
        auto = node.attr("auto_pad", "NOTSET")
        if auto in ("NOTSET", "VALID"):
            wanted["pads"] = written.get("pads", [0] * 2 * rank)
        elif node.op_type == "ConvTranspose" or not all(isinstance(size, int) for size in shape[2:]):
            if node.op_type == "ConvTranspose":
                return "auto_pad of ConvTranspose"
            return "lengths are free, and auto_pad depends on them"
        else:
            reach = (np.array(kernel) - 1) * wanted.get("dilations", ones) + 1
            after = -(-np.array(shape[2:]) // wanted["strides"])
            total = np.maximum((after - 1) * wanted["strides"] + reach - shape[2:], 0)
            less, more = total // 2, total - total // 2
            wanted["pads"] = np.concatenate([less, more] if auto == "SAME_UPPER" else [more, less]).tolist()
        return wanted


def flattens(shape, axis):
    """Whether a dim behind `axis` may be longer than 1."""
    return shape is None or any(dim != 1 for dim in shape[axis % len(shape) + 1 :])
