"""Spell out a GRU of one step whose state comes at run time.

    x [1,N,I], h ── GRU ── Y, Y_h    =>    z = Sigmoid(x·Wz + h·Rz)    r = Sigmoid(x·Wr + h·Rr)
                                           n = Tanh(x·Wn + r * (h·Rn))    Y_h = (1 - z) * n + z * h

Three gates are one MatMul, then sliced. Biases are added where the operator adds them; with ``linear_before_reset``
0, n is Tanh(x·Wn + (r * h)·Rn).

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
        b = None if b is None else op.Squeeze(b, [0])

        def linear(value, weights, half):
            found = op.MatMul(value, op.Transpose(op.Squeeze(weights, [0]), perm=[1, 0]))
            return found if b is None else op.Add(found, op.Slice(b, [3 * half * size], [3 * (half + 1) * size], [0]))

        def gate(value, i):
            return op.Slice(value, [i * size], [(i + 1) * size], [2])

        from_x, from_h = linear(x, w, 0), linear(h, r, 1)
        update, reset = (op.Sigmoid(op.Add(gate(from_x, i), gate(from_h, i))) for i in (0, 1))
        if node.attr("linear_before_reset"):
            past = op.Mul(reset, gate(from_h, 2))
        else:
            past = gate(linear(op.Mul(reset, h), r, 1), 2)
        new = op.Tanh(op.Add(gate(from_x, 2), past))
        state = op.Add(op.Mul(op.Sub(1.0, update), new), op.Mul(update, h))
        return [op.Unsqueeze(state, [1]), state][: len(node.outputs)]
