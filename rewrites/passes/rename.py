"""Give tensors, nodes and dims other names.

    x.1 [N,3] ── Conv.0 ── fetch_0          =>      image [batch,3] ── stem ── logits

``tensors=x.1=image;fetch_0=logits``, ``nodes=Conv.0=stem``, ``dims=N=batch``. All are renamed at once, so two can
change places. Two dims may get one name, where they are always equal.

Why: names are the interface to whoever runs the model; exporters number them.
Numbers: no value changes.
Refuses: a name that another has, or that two are to get; a number as the name of a dim.
"""

import re

import onnx_ir as ir

from surgery import BadInput, Exact, Pass, Refused, graphs, missing


class Rename(Pass):
    contract = Exact()
    interface = ("names",)
    tensors: dict[str, str] = {}  # old=new
    nodes: dict[str, str] = {}  # old=new; a node without a name is called after its first output
    dims: dict[str, str] = {}  # old=new

    def apply(self, model):
        if not (self.tensors or self.nodes or self.dims):
            raise BadInput("nothing is named", cure="tensors=OLD=NEW, nodes=OLD=NEW or dims=OLD=NEW")
        everywhere = list(graphs(model))
        return self.rename_tensors(everywhere) + self.rename_nodes(everywhere) + self.rename_dims(everywhere)

    def rename_tensors(self, everywhere) -> int:
        values = [v for graph in everywhere for v in owned(graph)]
        names = [v.name for v in values]
        wishes = pending(self.tensors, names, "tensor")
        chosen = [v for v in values if v.name in wishes]
        ir.convenience.rename_values(chosen, [wishes[v.name] for v in chosen])
        for value in values if wishes else ():
            scales = value.meta.get("quant_parameter_tensor_names")
            if scales:  # a quantization annotation names tensors
                value.meta["quant_parameter_tensor_names"] = {k: wishes.get(v, v) for k, v in scales.items()}
        return len(chosen)

    def rename_nodes(self, everywhere) -> int:
        called = [(n, n.name or n.outputs[0].name) for graph in everywhere for n in graph if n.name or n.outputs]
        wishes = pending(self.nodes, [name for _, name in called], "node")
        chosen = [(node, wishes[name]) for node, name in called if name in wishes]
        for node, name in chosen:
            node.name = name
        return len(chosen)

    def rename_dims(self, everywhere) -> int:
        for old, new in self.dims.items():
            if not new.isidentifier():
                raise BadInput(f"a dim can't have the name {new!r}", cure="for a size there is fix-dims")
            if old.lstrip("-").isdigit():
                raise BadInput(f"{old} is a size, not a name of a dim", cure="for a size there is free-dims")
        values = [v for graph in everywhere for v in owned(graph) if v.shape is not None]
        known = [d.value for v in values for d in v.shape if isinstance(d, ir.SymbolicDim) and d.value]
        parts = [part for dim in known for part in re.findall(r"[^\W\d][\w.]*", dim)]  # of expressions
        wishes = pending(self.dims, [*known, *parts], "dim", merge=True)
        if not wishes:
            return 0
        # In an expression, as 2*N, too.
        name = re.compile("|".join(rf"(?<![\w.]){re.escape(old)}(?![\w.])" for old in wishes))
        places = 0
        for value in values:
            dims = [
                name.sub(lambda found: wishes[found.group()], d.value)
                if isinstance(d, ir.SymbolicDim) and d.value
                else d
                for d in value.shape
            ]
            if dims != [d.value if isinstance(d, ir.SymbolicDim) and d.value else d for d in value.shape]:
                denotations = [value.shape.get_denotation(i) for i in range(len(dims))]
                value.shape = ir.Shape(dims, denotations)
                places += 1
        return places


def owned(graph):
    """The values that come into being in a graph."""
    yield from graph.inputs
    yield from (v for v in graph.initializers.values() if not v.is_graph_input())
    for node in graph:
        yield from node.outputs


def pending(wishes, names, kind, merge=False):
    """Those of the wishes that are not yet fulfilled.

    Raises:
        BadInput: an old name does not exist.
        Refused: a new one is another's, or is to be that of two.
    """
    known, taken = set(names), dict[str, str]()
    # What is no longer there has been renamed, if what it was to become is there.
    left = {old: new for old, new in wishes.items() if old != new and (old in known or new not in known)}
    for old, new in left.items():
        if not new:
            raise BadInput(f"{kind} {old!r} can't be left without a name")
        if old not in known:
            raise missing(kind, old, names)
        if merge:
            continue
        if new in taken:
            raise Refused(
                f"two edits contradict each other: {taken[new]!r} and {old!r} are both to be {new!r}", where=old
            )
        if new in known and new not in left:
            raise Refused(f"the name {new!r} is that of another {kind}", where=old)
        taken[new] = old
    return left
