"""Spell out a GRU of one step whose state comes at run time.

    x [1,N,I], h ── GRU ── Y, Y_h    =>    z = Sigmoid(x·Wz + h·Rz)    r = Sigmoid(x·Wr + h·Rr)
                                           n = Tanh(x·Wn + r * (h·Rn))    Y_h = (1 - z) * n + z * h

Biases are added where the operator adds them; with ``linear_before_reset`` 0, n is Tanh(x·Wn + (r * h)·Rn).

Why: decoders of recognisers call such a cell once a character (mmocr's ASTER, 25 times); MNN 3.6.1 refuses a
state given at run time unless the batch is fixed, and ncnn 20261020 takes no Y that goes elsewhere than torch has it.
Numbers: by the specification (ONNX, GRU-14) this is what one step computes; the order of the roundings differs. The
runtime's cell makes numbers of NaN, which pass through here.
Refuses: nothing. A place with more steps, without a state, or with lengths, two directions, another direction, clip,
other activations or batches first is left.
"""

from surgery import Close, Pass

FINITE = (-1e30, 1e30)


class GruStep(Pass):
    operator = "GRU"
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = {"X": FINITE, "initial_h": FINITE}

    def rewrite(self, op, node):
        x, w, r, b, lengths, h = [*node.inputs, *[None] * 6][:6]
        if x.shape is None or x.shape[0] != 1:
            return op.skip("it has more than one step")
        if h is None or h.constant is not None:
            return op.skip("its state is stored, or zero")
        plain = node.attr("direction") == "forward" and not node.attr("layout", 0)
        if not plain or lengths is not None or node.attr("clip") is not None or node.attr("activations"):
            return op.skip("it has another form")
        size = node.attr("hidden_size")
        if size is None:
            return op.skip("hidden_size is not written")
        now, before = op.Squeeze(x, [0]), op.Squeeze(h, [0])
        w, r = op.Squeeze(w, [0]), op.Squeeze(r, [0])
        b = None if b is None else op.Squeeze(b, [0])

        def linear(value, weights, gate, bias):
            part = op.Slice(weights, [gate * size], [(gate + 1) * size], [0])
            found = op.MatMul(value, op.Transpose(part, perm=[1, 0]))
            return found if b is None else op.Add(found, op.Slice(b, [bias * size], [(bias + 1) * size], [0]))

        update, reset = (op.Sigmoid(op.Add(linear(now, w, i, i), linear(before, r, i, i + 3))) for i in (0, 1))
        if node.attr("linear_before_reset"):
            past = op.Mul(reset, linear(before, r, 2, 5))
        else:
            past = linear(op.Mul(reset, before), r, 2, 5)
        new = op.Tanh(op.Add(linear(now, w, 2, 2), past))
        state = op.Add(op.Mul(op.Sub(1.0, update), new), op.Mul(update, before))
        return [op.Unsqueeze(state, [0, 1]), op.Unsqueeze(state, [0])][: len(node.outputs)]
