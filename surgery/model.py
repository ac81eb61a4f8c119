"""Load and save models: lossless, mapped, atomic.

`load` gives an ``onnx_ir.Model`` whose large weights stay in the file: each is a view
of one read-only mapping, so that a model costs the memory of its graph. `save` copies
them from file to file. It writes beside the target under another name, and renames last:
whenever it is ended, the target holds the old model or the new one.

`read_proto` gives the same as an ``onnx.ModelProto`` with references in place of large
weights. It needs no onnx-ir, which takes four times as long to import as onnx.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from surgery import wire
from surgery.errors import BadInput, Refused

if TYPE_CHECKING:
    import onnx_ir as ir

_LIMIT = 2**31 - 2**20  # protobuf's bound on one message, less room for the graph itself
_CHUNK = 1 << 22  # bytes copied at a time
_ALIGN = 64  # bytes; a cache line, so that a runtime can use a mapped weight in place
_META = "surgery.origin"


@dataclass
class Mapped:
    """A file that weights lie in, held open: its content stays, whatever becomes of its name."""

    path: Path
    file: BinaryIO
    data: np.ndarray  # uint8, the whole file, read-only

    @classmethod
    def open(cls, path: Path) -> Mapped:
        """Map `path`; raises OSError."""
        file = open(path, "rb", buffering=0)
        empty = os.fstat(file.fileno()).st_size == 0
        data = np.zeros(0, np.uint8) if empty else np.asarray(np.memmap(file, np.uint8, "r"))
        return cls(path, file, data)

    def offset(self, array: np.ndarray) -> int | None:
        """The offset in bytes at which `array` is a view of this file, if it is one."""
        at = array.__array_interface__["data"][0] - self.data.__array_interface__["data"][0]
        return at if 0 <= at <= self.data.nbytes - array.nbytes else None


@dataclass
class Origin:
    """Where a model came from, and what onnx-ir does not carry from there."""

    path: Path
    files: list[Mapped] = field(default_factory=list)  # the model file, then its data files
    value_info: set[str] = field(default_factory=set)
    loose: list[onnx.ValueInfoProto] = field(default_factory=list)  # value_info that no node makes
    annotations: list[onnx.TensorAnnotation] = field(default_factory=list)
    tensor_metadata: bool = False

    @property
    def external(self) -> bool:
        """Whether weights lie in files of their own."""
        return len(self.files) > 1


def read_proto(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read a model; weights of 1 KiB and more stay in their files.

    Args:
        path: the model file.

    Returns:
        The model. A large weight has ``data_location`` EXTERNAL; ``location`` is relative
        to the folder of `path`, and is the model file's own name for weights that it holds.

    Raises:
        BadInput: the file can't be read, is no model, or refers to data that is not there
            or lies outside the model's folder.
    """
    proto, _ = _read(Path(path))
    return proto


def load(path: str | os.PathLike[str]) -> ir.Model:
    """Read a model for editing; large weights are views of the mapped file.

    Args:
        path: the model file.

    Returns:
        The model. Its ``meta`` remembers where it came from.

    Raises:
        BadInput: as `read_proto`, or the graph is not sound: duplicate names, a cycle.
        Refused: the model holds something that would be lost.
    """
    import onnx_ir as ir

    path = Path(path)
    proto, origin = _read(path)
    _refuse_losses(proto, path)
    with without_gc(), _as_bad_input(path):
        model: ir.Model = ir.from_proto(proto)
        _check_order(model, path)
        if any(t.data_location == onnx.TensorProto.EXTERNAL for t, _ in proto_tensors(proto)):
            for graph in graphs(model):
                _map_weights(graph, origin)
    origin.value_info = {v.name for v in proto.graph.value_info}
    produced = {name for node in proto.graph.node for name in node.output} | {v.name for v in proto.graph.input}
    produced |= {t.name for t in proto.graph.initializer}
    outputs = {v.name for v in proto.graph.output}
    origin.loose = [v for v in proto.graph.value_info if v.name not in produced]
    origin.annotations = [
        a for a in proto.graph.quantization_annotation if a.tensor_name not in produced | outputs
    ]
    origin.tensor_metadata = any(len(t.metadata_props) for t in proto.graph.initializer)
    model.meta[_META] = origin
    return model


def from_proto(proto: onnx.ModelProto) -> ir.Model:
    """An ``onnx.ModelProto`` for editing; `proto` itself is left alone.

    Raises:
        BadInput: the graph is not sound.
        Refused: the model holds something that would be lost.
    """
    import onnx_ir as ir

    _refuse_losses(proto, Path("<ModelProto>"))
    with without_gc(), _as_bad_input(Path("<ModelProto>")):
        model: ir.Model = ir.from_proto(proto)
        _check_order(model, Path("<ModelProto>"))
    return model


def graphs(model: ir.Model) -> Iterator[ir.Graph]:
    """The main graph, the bodies of functions, and every sub-graph within, outermost first."""
    for root in (model.graph, *(f.graph for f in model.functions.values())):
        yield from _within(root)


def _within(graph: ir.Graph) -> Iterator[ir.Graph]:
    # Four times as fast as Graph.subgraphs() of onnx-ir 1.1 where, as nearly always, there are none.
    yield graph
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type.value == onnx.AttributeProto.GRAPH and not attribute.is_ref():
                yield from _within(attribute.value)
            elif attribute.type.value == onnx.AttributeProto.GRAPHS and not attribute.is_ref():
                for inner in attribute.value:
                    yield from _within(inner)


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """The model without its large weights: they have references that lead nowhere.

    For looking at a graph (shape inference, checks) at the cost of its nodes alone.
    """
    import onnx_ir as ir

    owners = list(_weights(model))
    with without_gc(), _placeholders(owners, "elsewhere", [0] * len(owners)):
        return ir.to_proto(model)


class Draft:
    """A model written beside its target, to be put in place or thrown away.

    ``path`` is a complete model file. `commit` renames it to the target; leaving the
    context without that removes it.
    """

    def __init__(self, path: Path, target: Path, made: list[Path]) -> None:
        self.path = path
        self._target = target
        self._made = made  # data files that this draft brought, removed with it

    def commit(self) -> Path:
        """Put the model in place; from here on it is the model."""
        os.replace(self.path, self._target)
        self._made = []
        return self._target

    def discard(self) -> None:
        """Leave nothing behind."""
        for path in (self.path, *self._made):
            path.unlink(missing_ok=True)
        self._made = []

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def save(model: ir.Model, path: str | os.PathLike[str]) -> Path:
    """Write `model` to `path`, whole or not at all.

    A model of more than 2 GB, or that came with external data, is written with external
    data: the large weights go to one file beside the model, named after its content
    (``NAME.onnx.0123456789abcdef.data``), so that the data of another model is never
    overwritten.

    Args:
        model: the model; it is not changed.
        path: the file to write or to replace.

    Returns:
        The path written.

    Raises:
        BadInput: `path` can't be written.
    """
    with draft(model, Path(path)) as made:
        return made.commit()


def draft(model: ir.Model, target: Path) -> Draft:
    """Write `model` beside `target`; see `Draft` and `save`."""
    import onnx_ir as ir

    origin: Origin | None = model.meta.get(_META)
    owners = list(_weights(model))
    sizes = [tensor.nbytes for _, tensor in owners]
    external = sum(sizes) > _LIMIT or (origin is not None and origin.external)
    made: list[Path] = []
    with _writable(target):
        if external:
            data, offsets, new = _write_data([t for _, t in owners], origin, target)
            made, location = [data] if new else [], data.name
        else:
            offsets, location = list(range(len(owners))), secrets.token_hex(16)
        try:
            with without_gc(), _placeholders(owners, location, offsets):
                proto = ir.to_proto(model)
            _mend(proto, origin)
            skeleton = proto.SerializeToString()
            del proto
            with _beside(target) as (path, file):
                if external:
                    file.write(skeleton)
                else:
                    bulk = [_Bulk(t, origin) for _, t in owners]
                    for piece in wire.lower(skeleton, location.encode(), bulk.__getitem__):
                        file.write(piece) if isinstance(piece, bytes) else piece.copy(file)
        except BaseException:
            for extra in made:
                extra.unlink(missing_ok=True)
            raise
    return Draft(path, target, made)


def copy_draft(source: Path, target: Path) -> Draft:
    """The model file `source` beside `target`, byte for byte, its data files with it.

    Raises:
        BadInput: a data file of that name is there already and differs.
    """
    _, origin = _read(source)
    made: list[Path] = []
    with _writable(target):
        for data in (f.path for f in origin.files[1:]):
            there = target.parent / data.relative_to(source.parent.resolve())
            if there.exists():
                if there.samefile(data) or _same_bytes(there, data):
                    continue
                raise BadInput(
                    "a data file of that name is there already, with other content",
                    where=str(there),
                    cure="write into another folder",
                )
            there.parent.mkdir(parents=True, exist_ok=True)
            with _beside(there) as (path, file), open(data, "rb") as old:
                shutil.copyfileobj(old, file, _CHUNK)
            os.replace(path, there)
            made.append(there)
        with _beside(target) as (path, file), open(source, "rb") as old:
            shutil.copyfileobj(old, file, _CHUNK)
    return Draft(path, target, made)


# ---------------------------------------------------------------------------- reading


def _read(path: Path) -> tuple[onnx.ModelProto, Origin]:
    try:
        if path.stat().st_size == 0:
            raise BadInput("the file is empty", where=str(path), cure="export it again: the exporter failed")
        whole = Mapped.open(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"can't be read: {getattr(error, 'strerror', None) or error}", where=str(path)) from error
    cure = "it may be truncated, or no ONNX file; compare its size with the original's"
    try:
        try:
            skeleton: bytes | memoryview = wire.lift(whole.data.data, path.name)
        except wire.Irregular:
            skeleton = whole.data.tobytes()
        proto = onnx.ModelProto.FromString(skeleton)
    except (DecodeError, RecursionError, ValueError) as error:
        raise BadInput("this is not a whole ONNX model", where=str(path), cure=cure) from error
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise BadInput("this file holds no graph", where=str(path), cure=cure)
    origin = Origin(path, [whole])
    _check_tensors(proto, origin)
    return proto, origin


def proto_tensors(proto: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    """Every tensor that a model stores, with the name that a user knows it by."""

    def of_graph(graph: onnx.GraphProto) -> Iterator[tuple[onnx.TensorProto, str]]:
        for tensor in graph.initializer:
            yield tensor, tensor.name
        yield from of_nodes(graph.node)

    def of_nodes(nodes: Any) -> Iterator[tuple[onnx.TensorProto, str]]:
        for node in nodes:
            for attribute in node.attribute:
                kind = attribute.type
                if kind == onnx.AttributeProto.TENSOR:
                    yield attribute.t, attribute.t.name or (node.output[0] if node.output else node.name)
                elif kind == onnx.AttributeProto.GRAPH:
                    yield from of_graph(attribute.g)
                elif kind == onnx.AttributeProto.TENSORS:
                    yield from ((t, t.name or node.name) for t in attribute.tensors)
                elif kind == onnx.AttributeProto.GRAPHS:
                    for graph in attribute.graphs:
                        yield from of_graph(graph)

    yield from of_graph(proto.graph)
    for function in proto.functions:
        yield from of_nodes(function.node)


def reference(tensor: onnx.TensorProto) -> tuple[str, int, int | None]:
    """Location, offset and length (None: not given) of a tensor's external data."""
    entries = {e.key: e.value for e in tensor.external_data}
    length = entries.get("length")
    return entries.get("location", ""), int(entries.get("offset", 0)), None if length is None else int(length)


def _check_tensors(proto: onnx.ModelProto, origin: Origin) -> None:
    """Hold every stored tensor against its dims, and every reference against its file."""
    for tensor, name in proto_tensors(proto):
        if any(d < 0 for d in tensor.dims):
            raise BadInput(f"tensor {name!r} has dims {list(tensor.dims)}", where=str(origin.path))
        size = _nbytes(tensor)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            try:
                location, offset, length = reference(tensor)
            except ValueError as error:
                raise BadInput(f"tensor {name!r} has no sound reference to its data", where=str(origin.path)) from error
            file = _data_file(origin, location, name).data
            end = offset + (size or 0 if length is None else length)
            if offset < 0 or end > file.nbytes or (length is not None and size is not None and length < size):
                raise BadInput(
                    f"tensor {name!r} of dims {list(tensor.dims)} does not fit its data: bytes {offset} to {end} "
                    f"of {location!r}, which has {file.nbytes}",
                    where=str(origin.path),
                    cure="the data file may be truncated, or belong to another model",
                )
        elif size is not None and tensor.HasField("raw_data") and len(tensor.raw_data) != size:
            raise BadInput(
                f"tensor {name!r} of dims {list(tensor.dims)} needs {size} bytes and has {len(tensor.raw_data)}",
                where=str(origin.path),
            )


def _data_file(origin: Origin, location: str, name: str) -> Mapped:
    """The mapped file at `location`, once for all tensors in it."""
    if location == origin.path.name:
        return origin.files[0]
    folder = origin.path.parent.resolve()
    real = Path(os.path.realpath(folder / location))
    for mapped in origin.files[1:]:
        if mapped.path == real:
            return mapped
    if not location or os.path.isabs(location) or not real.is_relative_to(folder):
        raise BadInput(
            f"the data of tensor {name!r} lies outside the model's folder: {location!r}",
            where=str(origin.path),
            cure="put the data file itself, not a link to it, beside the model",
        )
    try:
        if not real.is_file():  # a device or a pipe would never end
            raise FileNotFoundError(2, "no such file")
        origin.files.append(Mapped.open(real))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the data file {location!r} of tensor {name!r} can't be read: {getattr(error, 'strerror', error)}",
            where=str(origin.path),
            cure="keep the data file beside the model, under the name that the model has for it",
        ) from error
    return origin.files[-1]


def _nbytes(tensor: onnx.TensorProto) -> int | None:
    """The size in bytes that dims and type ask for; None for strings and unknown types."""
    try:
        bits = _BITS[onnx.TensorProto.DataType.Name(tensor.data_type)]
    except (KeyError, ValueError):
        return None
    count = 1
    for dim in tensor.dims:
        count *= dim
    return (count * bits + 7) // 8


_BITS = {
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("INT2", "UINT2"), 2),
    "COMPLEX128": 128,
}


def _refuse_losses(proto: onnx.ModelProto, path: Path) -> None:
    """Refuse by name what onnx-ir would drop in silence (measured on onnx-ir 1.1.0)."""
    lost = []
    if proto.training_info:
        lost.append("training_info")
    if proto.graph.sparse_initializer:
        lost.append("sparse_initializer")
    if any(not t.name for t in proto.graph.initializer):
        lost.append("initializers without a name")
    if len(getattr(proto, "configuration", ())) and proto.ir_version < 11:
        lost.append("device configurations in a model of IR version below 11")
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    whole.DiscardUnknownFields()
    if whole.ByteSize() != proto.ByteSize():
        lost.append(f"fields that onnx {onnx.__version__} does not know")
    if lost:
        raise Refused(
            f"the model holds {', '.join(lost)}, which would be lost",
            where=str(path),
            cure="remove them first, if they are not needed",
        )
    names = [t.name for t in proto.graph.initializer]
    if len(names) != len(set(names)):
        twice = next(n for n in names if names.count(n) > 1)
        raise BadInput(f"two initializers have the name {twice!r}", where=str(path))


@contextlib.contextmanager
def _as_bad_input(path: Path) -> Iterator[None]:
    """Turn what onnx-ir raises on an unsound graph into words."""
    from onnx_ir.serde import SerdeError

    try:
        yield
    except (SerdeError, ValueError, TypeError, RecursionError, KeyError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = str(cause).strip().splitlines()
        reason = text[0] if text else type(cause).__name__
        raise BadInput(f"the graph is not sound: {reason}", where=str(path)) from error


def _check_order(model: ir.Model, path: Path) -> None:
    """Refuse a cycle: a node that can't come after all that it needs."""
    for graph in graphs(model):
        seen = set()
        for node in graph:
            for value in node.inputs:
                producer = value.producer() if value is not None else None
                if producer is not None and producer not in seen and producer.graph is graph:
                    graph.sort()  # raises ValueError on a cycle
            seen.add(node)


def _map_weights(graph: ir.Graph, origin: Origin) -> None:
    """Turn references to the model's files into views of them."""
    import onnx_ir as ir

    for value in graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = _view(value.const_value, origin)
    for node in graph:
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _view(attribute.value, origin), attribute.doc_string)


def _view(tensor: ir.ExternalTensor, origin: Origin) -> ir.TensorProtocol:
    import onnx_ir as ir

    first = tensor.offset or 0
    data = _data_file(origin, str(tensor.location), tensor.name).data[first : first + tensor.nbytes]
    named: dict[str, Any] = dict(
        shape=tensor.shape,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )
    if tensor.dtype.bitwidth < 8:
        return ir.PackedTensor(data, tensor.dtype, **named)
    return ir.Tensor(data.view(tensor.dtype.numpy()).reshape(tensor.shape.numpy()), tensor.dtype, **named)


# ---------------------------------------------------------------------------- writing


class _Bulk:
    """The bytes of one weight, copied from its file where it lies in one."""

    def __init__(self, tensor: ir.TensorProtocol, origin: Origin | None) -> None:
        self._tensor = tensor
        self._origin = origin

    def __len__(self) -> int:
        return self._tensor.nbytes

    def chunks(self) -> Iterator[bytes | memoryview]:
        raw = getattr(self._tensor, "raw", None)
        if not (isinstance(raw, np.ndarray) and raw.flags.c_contiguous and raw.nbytes == len(self)):
            yield self._tensor.tobytes()
            return
        for mapped in self._origin.files if self._origin else ():
            at = mapped.offset(raw)
            if at is not None:
                # Read, not touched through the mapping: pages of a mapping count as our memory.
                for first in range(at, at + len(self), _CHUNK):
                    yield os.pread(mapped.file.fileno(), min(_CHUNK, at + len(self) - first), first)
                return
        yield raw.reshape(-1).view(np.uint8).data

    def copy(self, file: BinaryIO) -> None:
        for chunk in self.chunks():
            file.write(chunk)


def _weights(model: ir.Model) -> Iterator[tuple[Any, ir.TensorProtocol]]:
    """The large weights: (initializer or (node, attribute name), tensor)."""
    import onnx_ir as ir

    for graph in graphs(model):
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.nbytes >= wire.LARGE and tensor.dtype != ir.DataType.STRING:
                yield value, tensor
        for node in graph:
            for name, attribute in node.attributes.items():
                if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                    tensor = attribute.value
                    if tensor.nbytes >= wire.LARGE and tensor.dtype != ir.DataType.STRING:
                        yield (node, name), tensor


@contextlib.contextmanager
def _placeholders(owners: list[tuple[Any, Any]], location: str, offsets: list[int]) -> Iterator[None]:
    """Large weights replaced by references while the graph is serialized."""
    import onnx_ir as ir

    def put(owner: Any, tensor: Any) -> None:
        if isinstance(owner, tuple):
            node, name = owner
            node.attributes[name] = ir.AttrTensor(name, tensor, node.attributes[name].doc_string)
        else:
            owner.const_value = tensor

    try:
        for (owner, tensor), offset in zip(owners, offsets, strict=True):
            put(
                owner,
                ir.ExternalTensor(
                    location,
                    offset,
                    tensor.nbytes,
                    tensor.dtype,
                    shape=tensor.shape,
                    name=tensor.name or "",
                    doc_string=tensor.doc_string,
                    metadata_props=dict(tensor.metadata_props),
                ),
            )
        yield
    finally:
        for owner, tensor in owners:
            put(owner, tensor)


def _write_data(tensors: list[Any], origin: Origin | None, target: Path) -> tuple[Path, list[int], bool]:
    """Write the data file; its path, the offset of every tensor, and whether it is new."""
    digest, offsets, at = hashlib.sha256(), [], 0
    with _beside(target) as (path, file):
        for tensor in tensors:
            gap = bytes(-at % _ALIGN)
            for chunk in itertools.chain([gap], _Bulk(tensor, origin).chunks()):
                file.write(chunk)
                digest.update(chunk)
            offsets.append(at + len(gap))
            at += len(gap) + tensor.nbytes
    data = target.with_name(f"{target.name}.{digest.hexdigest()[:16]}.data")
    if data.exists() and data.stat().st_size == at:  # named after its content: it is this
        path.unlink()
        return data, offsets, False
    os.replace(path, data)
    return data, offsets, True


def _mend(proto: onnx.ModelProto, origin: Origin | None) -> None:
    """Undo what onnx-ir 1.1.0 adds, and put back what it drops."""
    graph = proto.graph
    weights = {t.name for t in graph.initializer} - {v.name for v in graph.input}
    known = origin.value_info if origin else set()
    extra = [i for i, v in enumerate(graph.value_info) if v.name in weights and v.name not in known]
    for i in reversed(extra):
        del graph.value_info[i]
    if origin is None:
        return
    made = {name for node in graph.node for name in node.output}
    graph.value_info.extend(v for v in origin.loose if v.name not in made)
    graph.quantization_annotation.extend(origin.annotations)
    if origin.tensor_metadata:
        for tensor in graph.initializer:
            entries = {e.key: e.value for e in tensor.metadata_props}
            del tensor.metadata_props[:]
            for key, value in entries.items():
                tensor.metadata_props.add(key=key, value=value)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the folder of `target`, removed again if writing it fails."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".partial", dir=target.parent)
    path = Path(name)
    try:
        with open(handle, "wb", buffering=_CHUNK) as file:
            yield path, file
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner may read
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _writable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"can't be written: {error.strerror or error}", where=str(target)) from error


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with open(one, "rb") as a, open(other, "rb") as b:
        while chunk := a.read(_CHUNK):
            if chunk != b.read(_CHUNK):
                return False
    return True


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Without the cyclic collector: a large graph is made in half the time (measured, 100,000 nodes)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
