"""Spell LSTM, GRU and RNN as compilers expect exporters to write them.

    x, h0 = 0 ── LSTM ── Y              =>    x ── LSTM ── Y, Y_h, Y_c
    x ── LSTM ── Y_h                    =>    x ── LSTM ── Y ─┬─ Slice(last step, forward) ───┬─ Concat ── Y_h
                                                              └─ Slice(first step, backward) ─┘
    x ── LSTM ── Y, Y_h                 =>    x ── LSTM ── Transpose ── Reshape ─┬─ Reshape ── Transpose ── Y
                                              (form=sequence)                    └─ Slice, Concat ── Y_h
    x ── LSTM(reverse) ── Y             =>    x ── MatMul(turned) ── LSTM ── MatMul(turned) ── Y

States of zeros, which are the default, are dropped; outputs that nothing reads are named; the last state is read
out of the sequence of states; with ``form=sequence`` that sequence is first brought to three axes, as torch's export
does; a layer that runs backwards alone runs forwards over the sequence turned round.

Why: MNN 3.6.1 crashes where an LSTM declares fewer than three outputs, and is wrong about ``reverse``; ncnn
refuses or mistakes zero states, Y_h and ``reverse``, and knows Y only in the way that torch reads it.
Numbers: the recurrence is the same; turning round multiplies by 0 and 1.
Refuses: nothing. A place with sequence lengths, with Y_c read beside, or whose length is free where it would be
turned round keeps that part.
"""

from typing import Literal

import numpy as np

from surgery import Close, Pass

OUTPUTS = {"LSTM": 3, "GRU": 2, "RNN": 2}
FLOATS = 1e30


class RnnForms(Pass):
    operator = ("LSTM", "GRU", "RNN")
    contract = Close(rtol=1e-5, atol=1e-6)
    domain = dict.fromkeys(("X", "W", "R", "B", "initial_h", "initial_c"), (-FLOATS, FLOATS))

    form: Literal["plain", "sequence"] = "plain"  # how Y is read

    def rewrite(self, op, node):
        names = OUTPUTS[node.op_type]
        inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
        x, lengths = inputs[0], inputs[4]
        read = [is_read(value) for value in node.ir.outputs] + [False] * names
        if node.attr("layout", 0) or lengths is not None:
            return op.skip("it has lengths of its own, or batches first")
        states = [value is not None and value.constant is not None and not value.constant.any() for value in inputs]
        zero = [i for i in (5, 6) if states[i]]
        turn = node.attr("direction") == "reverse" and x.shape is not None and isinstance(x.shape[0], int)
        last = read[1] and not read[2]
        whole = self.form == "sequence" and (last or not as_torch(node.ir.outputs[0]))
        named = len([value for value in node.ir.outputs if value.name]) == names
        if not (zero or turn or last or whole or not named):
            return op.skip("its form is plain")
        for i in zero:
            inputs[i] = None
        how = {name: node.attr(name) for name in node.ir.attributes}
        if turn:
            how["direction"] = "forward"
            turned = np.ascontiguousarray(np.eye(x.shape[0])[::-1]).astype(x.dtype)
            inputs[0] = along_time(op, turned, x)
        while inputs and inputs[-1] is None:
            inputs.pop()
        y, *rest = getattr(op, node.op_type)(*inputs, outputs=names, **how)
        if whole or (turn and self.form == "sequence"):
            hidden, ways = int(how["hidden_size"]), 1 + (how.get("direction") == "bidirectional")
            flat = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), [0, 0, -1])
            rest[0] = ends(op, flat, hidden, ways) if last else rest[0]
            flat = along_time(op, turned, flat) if turn else flat
            y = op.Transpose(op.Reshape(flat, [0, 0, ways, hidden]), perm=[0, 2, 1, 3])
            return [y, *rest][: len(node.outputs)]
        if last:
            rest[0] = final(op, y, how.get("direction", "forward"))
        if turn:
            y = along_time(op, turned, y)
        return [y, *rest][: len(node.outputs)]


def is_read(value):
    """Whether anything reads the value."""
    return bool(value.name) and (bool(value.uses()) or value.is_graph_output())


def as_torch(value):
    """Whether all that reads the sequence of states is a Transpose or a Squeeze."""
    return not value.is_graph_output() and all(use.node.op_type in ("Transpose", "Squeeze") for use in value.uses())


def ends(op, flat, hidden, ways):
    """The last state [directions, batch, hidden] out of all [time, batch, directions * hidden]."""
    end = np.iinfo(np.int64).max
    if ways == 1:
        return op.Slice(flat, [-1], [end], [0])
    parts = [op.Slice(flat, [-1, 0], [end, hidden], [0, 2]), op.Slice(flat, [0, hidden], [1, 2 * hidden], [0, 2])]
    return op.Concat(*parts, axis=0)


def along_time(op, turned, x):
    """The sequence [time, ...] turned round."""
    flat = op.MatMul(turned, op.Reshape(x, [len(turned), -1]))
    return op.Reshape(flat, op.Shape(x))


def final(op, y, direction):
    """The last state [directions, batch, hidden] out of all [time, directions, batch, hidden]."""
    end = np.iinfo(np.int64).max

    def step(start, stop, way):
        part = op.Slice(y, [start, way], [stop, way + 1], [0, 1])
        return op.Squeeze(part, [0])

    if direction == "forward":
        return step(-1, end, 0)
    if direction == "reverse":
        return step(0, 1, 0)
    return op.Concat(step(-1, end, 0), step(0, 1, 1), axis=0)
