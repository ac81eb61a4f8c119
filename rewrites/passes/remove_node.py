"""Take nodes out, and lead what they read to what reads them.

    x ── Mul 0.5 ── Relu ── y          =>      x ── Relu ── y

``nodes=Dropout*;scale`` names them: by name, by output, or by operator, with ``*`` and ``?`` as in names of files. A
node's output becomes the input that is not constant and has its dtype and shape; where several have, ``input`` says
which, by name.

Why: what a backend does itself, or does not know and need not do: normalisation of the input, a Softmax at the end,
debugging operators.
Numbers: what the nodes did is no longer done, so results differ unless it was nothing.
Refuses: a node of which more than the first output is read, or none of whose inputs, or several, could stand in.
"""

from surgery import BadInput, Changes, Edit, Pass, Refused, find_nodes, missing


class RemoveNode(Pass):
    contract = Changes("what the removed nodes did is no longer done")
    nodes: list[str]  # names, outputs, operators; * and ? as in names of files
    input: str = ""  # the tensor that stands in, where several could

    def apply(self, model):
        if not self.nodes:
            raise BadInput("no node is named", cure="nodes=NAME;NAME")
        edit = Edit(model, self.name)
        going = dict.fromkeys(node for pattern in self.nodes for node in find_nodes(model, pattern))
        for node in going:
            source = self.stand_in(node, edit)
            if node.graph is not None:
                edit.replace(node, [source])
        return len(going)

    def stand_in(self, node, edit):
        """The input that takes the place of the node's output."""
        where = node.name or node.outputs[0].name
        read = [v.name for v in node.outputs[1:] if v.uses() or v.is_graph_output()]
        if read:
            raise Refused(f"{node.op_type} can't be bypassed: its output {read[0]!r} is read too", where=where)
        inputs = dict.fromkeys(v for v in node.inputs if v is not None)
        if self.input:
            named = [v for v in inputs if v.name == self.input]
            if not named:
                raise missing("input", self.input, (v.name for v in inputs), where)
            inputs = dict.fromkeys(named)
        out = node.outputs[0]
        fitting = [v for v in inputs if (self.input or edit.tensor(v) is None) and fits(v, out, edit)]
        if not fitting:
            told = ", ".join(f"{v.name!r} {describe(v, edit)}" for v in inputs) or "none"
            raise Refused(
                f"{node.op_type} can't be bypassed: its output is {describe(out, edit)}, its inputs are {told}",
                where=where,
            )
        if len(fitting) > 1:
            told = ", ".join(repr(v.name) for v in fitting)
            raise Refused(f"{node.op_type} can be bypassed in several ways", where=where, cure=f"say input= {told}")
        return fitting[0]


def fits(value, out, edit) -> bool:
    """Whether a tensor can stand where `out` is, as far as is known."""
    one, other = (edit.shapes.dtype(v) for v in (value, out))
    if None not in (one, other) and one != other:
        return False
    dims, wanted = (edit.shapes.shape(v) for v in (value, out))
    if dims is None or wanted is None:
        return True
    known = [(a, b) for a, b in zip(dims, wanted, strict=False) if isinstance(a, int) and isinstance(b, int)]
    return len(dims) == len(wanted) and all(a == b for a, b in known)


def describe(value, edit) -> str:
    """Dtype and dims in words."""
    dtype, shape = edit.shapes.dtype(value), edit.shapes.shape(value)
    dims = "" if shape is None else f"[{','.join('?' if d is None else str(d) for d in shape)}]"
    return f"{dtype or 'of unknown type'}{dims}"
