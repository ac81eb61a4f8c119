"""Make a fixed dim of the inputs dynamic, above all the batch.

    x [1, 3, 32, 100]                          x [batch, 3, 32, 100]
    f ── Reshape [1, 25, 512]          =>      f ── Reshape [0, 25, 512]
    LSTM (s, ..., zeros [2, 1, 256])           LSTM (s, ..., zeros expanded to the batch of s)

``dims=batch=0`` (the default) frees axis 0 of every input, ``dims=width=x.3`` an axis of one input, and
``dims=batch=x.0+mask.1`` the axes of several, as one dim. What the old size is written into is cured: targets of
Reshape and Expand, ends of Slice, sizes of Resize, states of LSTM, GRU and RNN, and constants that are joined with
what has the dim, as far as they are the same all along it.

Why: exports at a fixed batch are what most scripts make, and simplifiers (onnxslim and onnxsim with an input shape)
write the batch into the graph; throughput wants batches (MMOCR and PaddleOCR recognise in batches).
Numbers: nothing is computed otherwise. A batch of N is compared with N runs of the model before, one after the other;
rounding may differ, as runtimes choose kernels by size.
Refuses: a constant that differs along the dim, or a node that takes one index of it, drops, sums or fixes it, by the
node's name and the constant's; sub-graphs and functions that read what has the dim. Where the old size is 1 it can
stand for anything: it is taken to stay where it stands among the other axes, and for the batch the comparison decides.
"""

import onnx_ir as ir

from rewrites.dims import called, dims_of
from rewrites.dims.cures import Cures
from rewrites.dims.follow import RATIO, Axis, Followed, reads
from surgery import BadInput, Close, Contradiction, Edit, Pass, Refused


class FreeDims(Pass):
    contract = Close()
    interface = ("dims",)
    dims: dict[str, str] = {"batch": "0"}  # names for what is freed: batch=0, width=x.3, batch=x.0+mask.1

    def apply(self, model):
        places = 0
        edit = Edit(model, self.name)
        for name, text in self.dims.items():
            if not name.isidentifier():  # a number would read as a size, and none as any
                raise BadInput(f"a dim can't have the name {name!r}", where=f"dims={name}={text}", cure="take a word")
            axes = asked(model, name, text)
            if axes:
                freeing = Freeing(edit, name, axes)
                freeing.run()
                places += len(axes) + len(freeing.cured)
                if freeing.cured:
                    self.note(f"{name!r} was {freeing.unit} in {', '.join(freeing.cured)}")
        return places


def asked(model: ir.Model, name: str, text: str) -> list[Axis]:
    """The axes that an option names, as far as they are not free already."""
    inputs = {v.name: v for v in model.graph.inputs if v.const_value is None and v.shape is not None}
    dims = {v: dims_of(v.shape) or () for v in inputs.values()}
    shapes = "; ".join(f"{v.name} [{', '.join(map(str, of))}]" for v, of in dims.items())
    found: list[Axis] = []
    for part in text.split("+"):
        of, _, axis = part.rpartition(".")
        some = [v for n, v in inputs.items() if of in ("", n)]
        reach = [Axis(v, int(axis)) for v in some if axis.isdigit() and int(axis) < len(dims[v])]
        if not reach:
            raise BadInput(f"no input has the axis {part!r}", where=f"dims={name}={text}", cure=f"there is: {shapes}")
        found += reach
    fixed = [a for a in found if isinstance(dims[a.value][a.axis], int)]
    if fixed and len(fixed) == len(found) and any(name in of for of in dims.values()):
        raise BadInput(f"an input has a dim {name!r} already", cure=f"take another name; there is: {shapes}")
    if len({a.size for a in fixed}) > 1:
        where = ", ".join(f"{a.value.name}.{a.axis} is {a.size}" for a in fixed)
        raise Refused(f"dims of unlike sizes can't be one: {where}", where=f"dim {name!r}", cure="name fewer of them")
    return fixed


class Freeing:
    """One dim is freed: the graph is followed at the old size and at another, and cured where it does not follow."""

    def __init__(self, edit: Edit, name: str, axes: list[Axis]) -> None:
        self.edit = edit
        self.name = name
        self.axes = axes
        self.unit = axes[0].size
        self.batch = all(a.axis == 0 for a in axes)
        self.followed = Followed(edit, axes)
        self.cures = Cures(edit, self.followed, name, batch=self.batch)

    @property
    def cured(self) -> list[str]:
        """The nodes that the old size was written into."""
        return self.cures.cured

    def run(self) -> None:
        """Cure the graph, then declare.

        Raises:
            Refused: a node can't have the dim at another size.
        """
        for node in list(self.edit.model.graph):
            self.followed.old.step(node)
            if self.followed.concerns(node):
                self.cures.cure(node)
            if node.graph is not None:
                self.step(node)
                self.hold(node)
        self.declare()

    def step(self, node: ir.Node) -> None:
        """Follow a node at the new size."""
        try:
            self.followed.new.step(node)
        except Contradiction as fault:
            constants = self._constants(node)
            by = f", of which {constants} can't be told how to follow" if constants else ""
            what = f"it does not take another {self.name!r} than {self.unit}{by}: {fault}"
            raise Refused(what, where=called(node)) from None

    def hold(self, node: ir.Node) -> None:
        """Refuse where a node loses the dim, or nobody knows what it does with it."""
        grown, dims = self.followed.grown, self.followed.new.dims
        sources = [v for v in reads(node) if grown(v)]
        if not sources or node.op_type in ("Shape", "Size"):
            return
        read = [v for v in node.outputs if v.uses() or v.is_graph_output()]
        if any((made := dims(v)) is None or None in made for v in read):
            what = f"what it makes of {sources[0].name!r}, which has the {self.name!r}, can't be told"
            raise Refused(what, where=called(node), cure="rewrite it first, or leave the dim fixed")
        if self.batch and read and not any(grown(v) for v in read):
            constants = self._constants(node)
            by = f" by constant {constants}" if constants else ""
            raise Refused(f"{sources[0].name!r} loses the {self.name!r} here{by}", where=called(node))

    def _constants(self, node: ir.Node) -> str:
        return ", ".join(f"{v.name!r}" for v in node.inputs if v is not None and self.edit.is_constant(v))

    def declare(self) -> None:
        """Name the dim in the inputs, and in whatever declared the old size."""
        for value, axis in self.axes:
            assert value.shape is not None
            value.shape = ir.Shape([self.name if i == axis else d for i, d in enumerate(value.shape)])
        for node in self.edit.model.graph:
            for value in node.outputs:
                if (dims := dims_of(value.shape)) and (grown := self.followed.grown(value)):
                    value.shape = ir.Shape([self._named(value, i) if i in grown else d for i, d in enumerate(dims)])

    def _named(self, value: ir.Value, axis: int) -> str:
        """The name of a dim that follows the freed one: its own where it is not the same."""
        now = self.followed.new.dims(value) or ()
        # What was the old size and is the new one, is the dim; both together are no coincidence.
        return self.name if now[axis] == self.unit * RATIO else f"{self.name}_{value.name}_{axis}"
