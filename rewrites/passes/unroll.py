"""Write loops of known count out, and take the branch that is always taken.

    v ── Loop(3, body) ── y          =>    v ── body ── body ── body ── y
    x ── Scan(body) ── y             =>    x ─┬─ Gather(0) ── body ─┬─ Concat ── y
                                              ├─ Gather(1) ── body ─┤
                                              └─ ...               ─┘
    x ── If(true, a, b) ── y         =>    x ── a ── y

Why: MNN 3.6.1 refuses Scan; ncnn and most NPUs, ATC's among them, have no control flow. Exporters leave loops whose
count is written in the model.
Numbers: the same nodes on the same values.
Refuses: nothing. What can't be known is left: a count that is not constant or above ``limit``, a condition that
the body computes, a Scan over a free length.
"""

from typing import Any

import numpy as np

from surgery import Edit, Exact, Pass


class Unroll(Pass):
    contract = Exact()
    limit: int = 64  # turns; a longer loop stays

    def apply(self, model):
        edit, count = Edit(model), 0
        how = {"If": self.branch, "Loop": self.loop, "Scan": self.scan}
        done = True
        while done:  # bodies may bring more
            done = False
            for node in [node for node in model.graph if node.op_type in how and not node.domain]:
                values = how[node.op_type](edit, node)
                if values is not None:
                    edit.replace(node, values)
                    count, done = count + 1, True
        return count

    def branch(self, edit, node):
        known = edit.tensor(node.inputs[0])
        if known is None:
            return None
        taken = node.attributes["then_branch" if known.numpy().reshape(-1)[0] else "else_branch"].as_graph()
        return copied(edit, taken, node, [], "branch")

    def loop(self, edit, node):
        body = node.attributes["body"].as_graph()
        turns, start = (None if v is None else edit.tensor(v) for v in node.inputs[:2])
        if turns is None or not 0 <= (count := int(turns.numpy().reshape(-1)[0])) <= self.limit:
            return None
        if node.inputs[1] is not None and (start is None or not start.numpy().all()):
            return None
        if not always(edit, body):
            return None
        state = list(node.inputs[2:])
        scans: list[list[Any]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
        if count == 0 and scans:
            return None
        opset = edit.model.opset_imports.get("", 1)
        for turn in range(count):
            given = [edit.constant(np.array(turn, np.int64)), edit.constant(np.array(True)), *state]
            made = copied(edit, body, node, given, str(turn))
            state = made[1 : 1 + len(state)]
            for scan, value in zip(scans, made[1 + len(state) :], strict=True):
                scan.append(value)
        return [*state, *(stacked(edit, node, values, 0, opset) for values in scans)]

    def scan(self, edit, node):
        body = node.attributes["body"].as_graph()
        number = node.attributes["num_scan_inputs"].as_int()
        if edit.model.opset_imports.get("", 1) < 9:  # Scan-8 takes lengths, and batches first
            return None
        states, scanned = list(node.inputs[:-number]), node.inputs[-number:]
        ways = {name: ints(node, name) for name in ("scan_input_axes", "scan_input_directions")}
        out = {name: ints(node, name) for name in ("scan_output_axes", "scan_output_directions")}
        axes = ways["scan_input_axes"] or [0] * number
        length = None if scanned[0].shape is None else scanned[0].shape[axes[0]]
        if not isinstance(length, int) or not 0 < length <= self.limit:
            return None
        scans: list[list[Any]] = [[] for _ in range(len(body.outputs) - len(states))]
        opset = edit.model.opset_imports.get("", 1)
        for turn in range(length):
            given = list(states)
            for i, value in enumerate(scanned):
                back = bool(ways["scan_input_directions"]) and ways["scan_input_directions"][i]
                at = edit.constant(np.array(length - 1 - turn if back else turn, np.int64))
                given.append(added(edit, node, "Gather", [value, at], {"axis": axes[i]}))
            made = copied(edit, body, node, given, str(turn))
            states = made[: len(states)]
            for scan, value in zip(scans, made[len(states) :], strict=True):
                scan.append(value)
        results = []
        for i, values in enumerate(scans):
            back = bool(out["scan_output_directions"]) and out["scan_output_directions"][i]
            axis = (out["scan_output_axes"] or [0] * len(scans))[i]
            results.append(stacked(edit, node, values[::-1] if back else values, axis, opset))
        return [*states, *results]


def ints(node, name):
    """An attribute of integers; empty where it is not written."""
    found = node.attributes.get(name)
    return [] if found is None else list(found.as_ints())


def always(edit, body):
    """Whether a Loop's body says "go on" whatever comes: a constant, or what it was told."""
    told = body.outputs[0]
    while told.producer() is not None and told.producer().op_type == "Identity":
        told = told.producer().inputs[0]
    known = edit.tensor(told)
    return told is body.inputs[1] or (known is not None and bool(known.numpy().all()))


def copied(edit, graph, at, given, turn):
    """The nodes of `graph` once more, in front of `at`; what its outputs are there."""
    base = f"{at.name or at.outputs[0].name}/{turn}"
    copy = graph.clone(allow_outer_scope_values=True)
    for formal, value in zip(copy.inputs, given, strict=True):
        formal.replace_all_uses_with(value, replace_graph_outputs=True)
    for value in list(copy.initializers.values()):
        constant = edit.constant(value.const_value, f"{base}/{value.name}")
        value.replace_all_uses_with(constant, replace_graph_outputs=True)
    for node in copy.all_nodes():
        node.name = edit.unique(f"{base}/{node.name or node.op_type}")
        for value in node.outputs:
            if value.name:
                value.name = edit.unique(f"{base}/{value.name}")
    for inner in copy.subgraphs():
        for value in inner.inputs:
            value.name = edit.unique(f"{base}/{value.name}")
    results, nodes = list(copy.outputs), list(copy)
    copy.outputs.clear()
    copy.remove(nodes)
    at.graph.insert_before(at, nodes)
    return results


def added(edit, at, op_type, inputs, attributes):
    """A node in front of `at`."""
    node = edit.node(op_type, inputs, attributes, base=at.name or op_type)
    at.graph.insert_before(at, node)
    return node.outputs[0]


def stacked(edit, at, values, axis, opset):
    """Values of one shape as one, along a new axis."""
    wide = [added(edit, at, "Unsqueeze", *unsqueeze(edit, value, axis, opset)) for value in values]
    return added(edit, at, "Concat", wide, {"axis": axis})


def unsqueeze(edit, value, axis, opset):
    """The inputs and attributes of an Unsqueeze: axes are an input from opset 13 on."""
    if opset < 13:
        return [value], {"axes": [axis]}
    return [value, edit.constant(np.array([axis]))], {}
