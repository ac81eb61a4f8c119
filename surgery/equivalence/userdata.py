"""What the user gives to verify on: npz files of inputs and reference outputs, shapes.

In an npz, arrays bear the names of the model's inputs and outputs; several cases in one file
carry .0, .1, ... after every name. A file may come from anywhere: no pickle is read, and sizes
are checked before memory is asked for.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgery.equivalence.ports import Port
from surgery.errors import BadInput

MAX_BYTES = 4 << 30  # of all arrays in one file

Arrays = dict[str, np.ndarray]


def parse_probe(text: str) -> dict[str, list[int]]:
    """Read ``x:2,3,48,320``; shapes of several inputs are joined by ``;``.

    Raises:
        BadInput: `text` is nothing of the kind.
    """
    shapes: dict[str, list[int]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, colon, dims = part.rpartition(":")  # a name may hold a colon: "input:0:1,3,32,32"
        if not colon or not name or not re.fullmatch(r"\s*(\d+\s*(,\s*\d+\s*)*)?", dims):
            raise BadInput(f"{part!r} is no shape of an input", where="--probe", cure='Write "NAME:2,3,48,320".')
        shapes[name.strip()] = [int(d) for d in dims.split(",") if d.strip()]
    if not shapes:
        raise BadInput("no shape is given", where="--probe", cure='Write "NAME:2,3,48,320".')
    return shapes


def check_probe(shapes: Mapping[str, Sequence[int]], inputs: Sequence[Port]) -> None:
    """See that shapes fit the inputs.

    Raises:
        BadInput: a name is unknown, or rank or a fixed dim is another.
    """
    ports = {port.name: port for port in inputs}
    for name, shape in shapes.items():
        if name not in ports:
            raise BadInput(f"the model has no input {name!r}", where="--probe", cure=f"It has {_listed(ports)}.")
        _check_shape(ports[name], list(shape), "--probe")


def read_cases(
    path: Path, inputs: Sequence[Port], outputs: Sequence[Port], *, need_outputs: bool
) -> list[tuple[Arrays, Arrays]]:
    """Read the cases of an npz.

    Args:
        path: the file.
        inputs: of the model.
        outputs: of the model; arrays of these names are the stored results.
        need_outputs: whether a case without any is an error.

    Returns:
        Inputs and stored outputs of each case, in the order of the suffixes.

    Raises:
        BadInput: the file is no npz, or does not fit the model.
    """
    arrays = _read(path)
    names = {port.name for port in (*inputs, *outputs)}
    cases: dict[int, Arrays] = {}
    for key, array in arrays.items():
        name, suffix = _split(key, names)
        if name is None:
            raise BadInput(
                f"the model has no input or output {key!r}",
                where=str(path),
                cure=f"Inputs: {_listed(p.name for p in inputs)}. Outputs: {_listed(p.name for p in outputs)}.",
            )
        case = cases.setdefault(suffix, {})
        if name in case:
            raise BadInput(f"{name!r} is in one case twice", where=str(path))
        case[name] = array
    found = []
    for number in sorted(cases):
        case, where = cases[number], f"{path}, case {max(number, 0)}"
        feeds = {port.name: _fit(port, case, where) for port in inputs}
        stored = {port.name: _retype(port, case[port.name]) for port in outputs if port.name in case}
        if need_outputs and not stored:
            raise BadInput("no outputs are stored", where=where, cure=f"Outputs: {_listed(p.name for p in outputs)}.")
        found.append((feeds, stored))
    if not found:
        raise BadInput("the file holds no arrays", where=str(path))
    return found


def _split(key: str, names: set[str]) -> tuple[str | None, int]:
    """A key as name and case; -1 is the case without a suffix."""
    if key in names:
        return key, -1
    name, dot, suffix = key.rpartition(".")
    return (name, int(suffix)) if dot and suffix.isdecimal() and name in names else (None, 0)


def _read(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            total = sum(info.file_size for info in infos)
            if total > MAX_BYTES:
                raise BadInput(f"the arrays take {total:,} bytes; {MAX_BYTES:,} are allowed", where=str(path))
            return {info.filename.removesuffix(".npy"): _member(archive, info, path) for info in infos}
    except zipfile.BadZipFile as error:
        raise BadInput(
            "this is no npz file", where=str(path), cure="Write one with numpy.savez(path, NAME=array)."
        ) from error
    except OSError as error:
        raise BadInput(f"the file can't be read ({error.strerror or error})", where=str(path)) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    where = f"{path}, {info.filename}"
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            if dtype.hasobject:
                raise BadInput(
                    "the array holds Python objects, which are not read", where=where, cure="Save plain arrays."
                )
            # What the header promises must be there before memory is taken for it.
            promised = dtype.itemsize * int(np.prod(shape, dtype=object))
            if promised > info.file_size:
                raise BadInput("the array is shorter than its header says", where=where)
        with archive.open(info) as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
            return array
    except BadInput:
        raise
    except Exception as error:  # zlib, zipfile and numpy each raise their own
        raise BadInput(f"the array can't be read ({error})", where=where) from error


def _fit(port: Port, case: Arrays, where: str) -> np.ndarray:
    if port.name not in case:
        raise BadInput(f"input {port.name!r} is missing", where=where)
    array = _retype(port, case[port.name])
    if array.dtype != port.numpy:
        raise BadInput(
            f"{port.name!r} is {array.dtype}, and the model takes {port.dtype}",
            where=where,
            cure=f"Save it with .astype({str(port.numpy)!r}).",
        )
    _check_shape(port, list(array.shape), where)
    return array


def _retype(port: Port, array: np.ndarray) -> np.ndarray:
    """`array` as the copy takes it; npz files keep types that numpy lacks as raw bytes."""
    from onnx import helper

    if port.elem and array.dtype.kind == "V":
        native = np.dtype(helper.tensor_dtype_to_np_dtype(port.elem))
        if native.itemsize == array.dtype.itemsize:
            return array.view(native).astype(port.numpy)
    if array.dtype.kind in "US" and port.numpy.kind == "O":
        return array.astype(object)
    return array


def _check_shape(port: Port, shape: list[int], where: str) -> None:
    if port.dims is None:
        return
    fits = len(shape) == len(port.dims) and all(
        not isinstance(dim, int) or dim < 0 or dim == size for dim, size in zip(port.dims, shape, strict=True)
    )
    if not fits:
        raise BadInput(f"the shape {shape} does not fit the input {port}", where=where)


def _listed(names: object) -> str:
    return ", ".join(repr(str(name)) for name in names) or "none"  # type: ignore[attr-defined]
