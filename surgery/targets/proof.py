"""Read back what a chip computed on the probes that `prepare` wrote.

The results lie in a folder beside ``prepare.json`` (``chip/``, as build.sh has it), of probe K

    K/input0_0.bin, K/input0_1.bin, ...    of ais_bench: an output each, .bin, .npy or .txt (in any folders within K)
    K.json                                 of trtexec --exportOutput

A .bin has no type: it is read as the output's, or, if its length says so, as half as many bits.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from surgery.errors import BadInput
from surgery.targets.prepare import EXPECTED, RECORD

_OUTPUT = re.compile(r"_(\d+)\.(bin|npy|txt)")
_FEW = 5  # results that are missing are named
# It writes what is no number as C++ does.
_NUMBER = re.compile(r"(?<=[\s,\[])-?(nan|inf)(?=[\s,\]])")
_NUMBERS = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NARROW = {"float32": "float16", "float64": "float32", "int64": "int32"}


def collect(results: Path, target: Path) -> Path:
    """Write the probes and what the chip gave for them as an npz that ``verify --reference`` takes.

    Args:
        results: the folder of results, or one file of trtexec.
        target: the npz to write.

    Returns:
        `target`.

    Raises:
        BadInput: there are no results, or they are not of these probes.
    """
    folder = results if results.is_dir() else results.parent
    home = next((place for place in (folder, folder.parent) if (place / RECORD).is_file()), None)
    if home is None:
        raise BadInput(
            f"there is no {RECORD} beside the results",
            where=str(results),
            cure="keep them where prepare wrote its files",
        )
    arrays: dict[str, np.ndarray] = {}
    absent = []
    try:
        cases = json.loads((home / RECORD).read_text(encoding="utf-8"))["cases"]
        with np.load(home / EXPECTED, allow_pickle=False) as expected:
            inputs = {name: expected[name] for name in expected.files}
        for index, case in enumerate(cases):
            outputs = _read(folder, results, index, case["outputs"])
            if outputs:
                arrays |= {f"{port['name']}.{index}": inputs[f"{port['name']}.{index}"] for port in case["inputs"]}
                arrays |= {f"{name}.{index}": value for name, value in outputs.items()}
            absent += [f"{port['name']!r} of probe {index}" for port in case["outputs"] if port["name"] not in outputs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{RECORD} and {EXPECTED} are not what prepare writes: {error}"
        raise BadInput(what, where=str(home), cure="prepare it again") from error
    if not arrays:
        raise BadInput(
            "there are no results", where=str(results), cure="run build.sh; of probe 0: 0/*_0.bin, or 0.json"
        )
    if absent and results.is_dir():  # a proof of a part is none of the whole
        more = f" and {len(absent) - _FEW:,} more" if len(absent) > _FEW else ""
        raise BadInput(
            f"there are no results of {', '.join(absent[:_FEW])}{more}",
            where=str(results),
            cure="run build.sh to its end",
        )
    np.savez(target, **arrays)  # type: ignore[arg-type]
    return target


def _read(folder: Path, results: Path, index: int, ports: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The outputs of one probe, by name; none where it was not run."""
    if results.is_file() and results.stem != str(index):
        return {}
    if (folder / f"{index}.json").is_file():
        return _of_trtexec(folder / f"{index}.json", ports)
    found: dict[str, np.ndarray] = {}
    for file in sorted((folder / str(index)).rglob("*")):
        match = _OUTPUT.fullmatch(file.name[file.name.rfind("_") :]) if "_" in file.name else None
        if match is None:
            continue
        place = int(match[1])
        if place >= len(ports):
            raise BadInput(
                f"the model has {len(ports)} outputs", where=str(file), cure="remove results of other models"
            )
        found[ports[place]["name"]] = _of_ais_bench(file, ports[place])
    return found


def _of_ais_bench(file: Path, port: dict[str, Any]) -> np.ndarray:
    count = int(np.prod(port["shape"], dtype=np.int64))
    try:
        if file.suffix == ".npy":
            array = np.load(file, allow_pickle=False)
        elif file.suffix == ".txt":
            array = np.loadtxt(file, ndmin=1)
        else:
            data = file.read_bytes()
            kinds = [kind for kind in (port["dtype"], _NARROW.get(port["dtype"])) if kind]
            fits = [kind for kind in kinds if np.dtype(kind).itemsize * count == len(data)]
            if not fits:
                raise BadInput(
                    f"{len(data):,} bytes are not {port['shape']} of {port['dtype']}",
                    where=str(file),
                    cure="the result may be of another size or model",
                )
            array = np.frombuffer(data, fits[0])
    except (OSError, ValueError) as error:
        raise BadInput(f"can't be read: {error}", where=str(file)) from error
    if array.size != count:
        raise BadInput(f"{array.size:,} elements are not {port['shape']}", where=str(file))
    shaped: np.ndarray = array.reshape(port["shape"]).astype(port["dtype"])
    return shaped


def _of_trtexec(file: Path, ports: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    try:
        text = _NUMBER.sub(lambda found: _NUMBERS[found[0]], file.read_text(encoding="utf-8"))
        entries = {entry["name"]: entry for entry in json.loads(text)}
        found = {}
        for port in ports:
            if port["name"] not in entries:
                raise BadInput(f"output {port['name']!r} is not in it", where=str(file), cure=f"it has {list(entries)}")
            entry = entries[port["name"]]
            array = np.array([float(value) for value in entry["values"]])
            dims = [int(d) for d in entry["dimensions"].split("x") if d]
            if array.size != np.prod(port["shape"], dtype=np.int64) or [d for d in dims if d != 1] != [
                d for d in port["shape"] if d != 1
            ]:
                raise BadInput(f"output {port['name']!r} is {dims}, and was {port['shape']}", where=str(file))
            found[port["name"]] = array.reshape(port["shape"]).astype(port["dtype"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"this is not what trtexec --exportOutput writes: {error}", where=str(file)) from error
    return found
