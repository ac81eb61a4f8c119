"""Read a model as a proto: mapped, checked, and never larger in memory than its graph.

`read_proto` gives an ``onnx.ModelProto`` in which large weights are references to where
they lie. It needs no onnx-ir, which takes four times as long to import as onnx. `open_model`
gives the mapped files with it, for those who want the weights as arrays.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError

from surgery import sound, wire
from surgery.errors import BadInput
from surgery.protos import proto_tensors
from surgery.sound import quoted

IN_MEMORY = Path("<ModelProto>")

_CHUNK = 1 << 22  # bytes copied at a time
_SMALL = 1 << 16  # bytes; a smaller data file is read, for every mapping holds the file open
_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_ZIP = b"PK"
_CURE = "it may be truncated, or no ONNX file; compare its size with the original's"


@dataclass
class Mapped:
    """A file that weights lie in, held open: its content stays, whatever becomes of its name."""

    path: Path
    data: np.ndarray  # uint8, the whole file, read-only
    file: BinaryIO | None = None  # None: `data` is in memory
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def open(cls, path: Path) -> Mapped:
        """Map `path`.

        Raises:
            OSError: it can't be read, or is a folder, a device or a pipe, which might never end.
        """
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(None, "it is not a file")
        file = open(path, "rb", buffering=0)  # noqa: SIM115 (held as long as the weights are)
        stamp = _stamp(file)
        if stamp[0] < _SMALL:
            with file:
                return cls(path, np.frombuffer(file.read(), np.uint8))
        return cls(path, np.asarray(np.memmap(file, np.uint8, "r")), file, stamp)

    def offset(self, array: np.ndarray) -> int | None:
        """The offset in bytes at which `array` is a view of this file, if it is one."""
        at = array.__array_interface__["data"][0] - self.data.__array_interface__["data"][0]
        return at if 0 <= at <= self.data.nbytes - array.nbytes else None

    def chunks(self, first: int = 0, count: int | None = None) -> Iterator[bytes | memoryview]:
        """`count` bytes from `first` on, all by default, in pieces.

        Raises:
            BadInput: the file was written to since it was opened.
        """
        last = self.data.nbytes if count is None else first + count
        if self.file is None:
            yield self.data[first:last].data
            return
        self._check()
        # Read, not touched through the mapping: pages of a mapping count as our memory.
        for at in range(first, last, _CHUNK):
            yield os.pread(self.file.fileno(), min(_CHUNK, last - at), at)

    def copy(self, first: int, count: int, file: BinaryIO) -> None:
        """Write `count` bytes from `first` on to `file`, within the system where it can.

        Raises:
            BadInput: the file was written to since it was opened.
        """
        if self.file is None or not hasattr(os, "sendfile"):
            file.writelines(self.chunks(first, count))
            return
        self._check()
        file.flush()
        last = first + count
        while first < last:
            sent = os.sendfile(file.fileno(), self.file.fileno(), first, last - first)
            if not sent:
                self._check()
                raise OSError(errno.EIO, "the file ended while it was copied", str(self.path))
            first += sent
        file.seek(0, os.SEEK_END)  # tell the file object where the system has come to

    def _check(self) -> None:
        assert self.file is not None
        if _stamp(self.file) != self.stamp:
            raise BadInput(
                "the file was written to while it was in use",
                where=str(self.path),
                cure="load the model again; to change a file in use, replace it by a new one",
            )


@dataclass
class Origin:
    """The files that a model came from: its own, and those of its weights by their locations."""

    path: Path
    model: Mapped
    data: dict[str, Mapped] = field(default_factory=dict)

    @property
    def files(self) -> list[Mapped]:
        """All of them."""
        return [self.model, *self.data.values()]


def read_proto(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read a model; weights of 1 KiB and more stay in their files.

    Args:
        path: the model file.

    Returns:
        The model. A large weight has ``data_location`` EXTERNAL; ``location`` is relative
        to the folder of `path`, and is the model file's own name for weights that it holds.

    Raises:
        BadInput: the file can't be read, is no sound model, or refers to data that is not
            there or lies outside the model's folder.
    """
    return open_model(Path(path))[0]


def open_model(path: Path) -> tuple[onnx.ModelProto, Origin]:
    """As `read_proto`, with the files that the references lead to."""
    try:
        whole = Mapped.open(path)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"can't be read: {_reason(error)}", where=str(path), cure="name an ONNX file that is there and readable"
        ) from error
    if not whole.data.nbytes:
        raise BadInput("the file is empty", where=str(path), cure="export it again: the exporter failed")
    origin = Origin(path, whole)
    return _parse(origin), origin


def open_proto(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, Origin]:
    """As `open_model` for a model in memory, which is copied once and left alone."""
    try:
        data = np.frombuffer(proto.SerializeToString(), np.uint8)
    except (EncodeError, ValueError) as error:
        raise BadInput(
            "the model is too large for one message",
            where=str(IN_MEMORY),
            cure="save it with external data and name the file",
        ) from error
    origin = Origin(IN_MEMORY, Mapped(IN_MEMORY, data))
    return _parse(origin), origin


def reference(tensor: onnx.TensorProto) -> tuple[str, int, int | None]:
    """Location, offset and length (None: not given) of a tensor's external data.

    Raises:
        ValueError: a number is none; runtimes read ASCII digits only.
    """
    entries = {e.key: e.value for e in tensor.external_data}
    length = entries.get("length")
    return entries.get("location", ""), _number(entries.get("offset", "0")), None if length is None else _number(length)


def _number(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def is_model(path: Path) -> bool:
    """Whether a file has the outer form of an ONNX model: of its content, a few bytes are read."""
    try:
        mapped = Mapped.open(path)
        numbers = {number for number, *_ in wire.fields(mapped.data.data)}
    except (OSError, ValueError, wire.Irregular):
        return False
    return _GRAPH in numbers and numbers <= set(onnx.ModelProto.DESCRIPTOR.fields_by_number)


def _parse(origin: Origin) -> onnx.ModelProto:
    where = str(origin.path)
    if origin.model.data[:2].tobytes() == _ZIP:
        raise BadInput(
            "this is a zip archive, as npz files are, and no ONNX model",
            where=where,
            cure="name the model; stored results are given by --reference FILE.npz, inputs by --inputs FILE.npz",
        )
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(wire.lift(origin.model.data.data, origin.path.name))
        if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
            raise BadInput("this file holds no graph", where=where, cure=_CURE)
    except (wire.Irregular, DecodeError, RecursionError, ValueError) as error:
        raise BadInput("this is not a whole ONNX model", where=where, cure=_CURE) from error
    sound.check(proto, where)
    for tensor, name in proto_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_reference(tensor, name, origin)
    return proto


def _check_reference(tensor: onnx.TensorProto, name: str, origin: Origin) -> None:
    size = sound.nbytes(tensor)
    try:
        location, offset, length = reference(tensor)
    except ValueError as error:
        raise BadInput(
            f"tensor {quoted(name)} has no sound reference to its data",
            where=str(origin.path),
            cure="offset and length are whole numbers in digits 0 to 9; export the model again",
        ) from error
    if size is None:
        raise BadInput(f"tensor {quoted(name)} is of a type that has no external data", where=str(origin.path))
    file = data_file(origin, location, name)
    if file is origin.model and length != size:
        raise BadInput(
            f"tensor {quoted(name)} of dims {list(tensor.dims)} needs {size} bytes and has {length}",
            where=str(origin.path),
        )
    end = offset + (size if length is None else length)
    if 0 <= offset <= end - size and end <= file.data.nbytes:
        return
    raise BadInput(
        f"tensor {quoted(name)} of dims {list(tensor.dims)} does not fit its data: "
        f"bytes {offset} to {end} of {quoted(location)}, which has {file.data.nbytes}",
        where=str(origin.path),
        cure="the data file may be truncated, or belong to another model",
    )


def data_file(origin: Origin, location: str, name: str) -> Mapped:
    """The mapped file at `location`, once for all tensors in it; `name` is the tensor's, for errors."""
    if location in origin.data:
        return origin.data[location]
    if location == origin.path.name:
        return origin.model
    if origin.path is IN_MEMORY:
        raise BadInput(
            f"the data of tensor {quoted(name)} lies in a file, {quoted(location)}",
            where=str(IN_MEMORY),
            cure="name the model's file, or load its data first (onnx.load_external_data_for_model)",
        )
    folder = Path(os.path.realpath(origin.path.parent))
    # A link counts for what it leads to. With ".." a location means another file
    # in another folder, even if it comes back to this one.
    inside = bool(location) and not os.path.isabs(location) and ".." not in Path(location).parts
    try:
        real = Path(os.path.realpath(folder / location))
        if not inside or not real.is_relative_to(folder):
            raise BadInput(
                f"the data of tensor {quoted(name)} lies outside the model's folder: {quoted(location)}",
                where=str(origin.path),
                cure="put the data file itself, not a link to it, beside the model",
            )
        known = next((f for f in origin.files if f.path == real), None)
        mapped = origin.data[location] = known or Mapped.open(real)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the data file {quoted(location)} of tensor {quoted(name)} can't be read: {_reason(error)}",
            where=str(origin.path),
            cure="keep the data file beside the model, under the name that the model has for it",
        ) from error
    return mapped


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
