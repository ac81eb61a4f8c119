"""Pictures of results: two side by side, and their difference.

A map (a detector's probabilities) is shown as it is, each channel on its own; a table of steps and
classes (a recogniser's logits) with the steps from left to right.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgery.errors import BadInput, Missing
from surgery.render import files

Pair = tuple[np.ndarray, np.ndarray]

_CHANNELS = 8  # shown of one output
_LONGEST = 512  # pixels of a panel's longer side, at most; small ones are enlarged to half of it
_MARGIN, _LINE = 8, 14
# Dark to light through purple and orange, so that a print in grey reads the same.
_STOPS = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float64)


def writable(path: Path) -> None:
    """Make sure that a picture can be written to `path`, see `files.writable`."""
    files.writable(path, "picture", b"\x89png")


def picture(target: Path, pairs: Mapping[str, Pair], titles: tuple[str, str]) -> None:
    """Draw every channel of every output, before, after and their difference in a row, as a PNG.

    Args:
        target: the file to write.
        pairs: of each output both results, float arrays of one shape; of a batch the first is drawn.
        titles: what the two are called.

    Raises:
        BadInput: there is nothing to draw, or the file can't be written.
        Missing: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError:
        raise Missing("a picture needs Pillow", cure="pip install 'onnx-surgery[show]'") from None
    rows = [row for name, (a, b) in pairs.items() for row in _rows(name, a, b)]
    if not rows:
        raise BadInput("there is no output of two or more dims to picture")
    strips = []
    for name, a, b in rows:
        low, high = _range(a, b)
        with np.errstate(invalid="ignore"):  # infinities on both sides
            gap = np.abs(a.astype(np.float64) - b)
        largest = float(np.nanmax(gap, initial=0.0))
        panels = [
            (f"{name}  {titles[0]}", _colour(a, low, high)),
            (f"{titles[1]}  [{low:.3g}, {high:.3g}]", _colour(b, low, high)),
            (f"difference, at most {largest:.3g}", _colour(gap, 0.0, largest)),
        ]
        strips.append([(text, _scaled(Image.fromarray(pixels))) for text, pixels in panels])
    width = max(sum(max(image.width, 200) + _MARGIN for _, image in strip) for strip in strips) + _MARGIN
    height = sum(max(image.height for _, image in strip) + _LINE + _MARGIN for strip in strips) + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = _MARGIN
    for strip in strips:
        x = _MARGIN
        for text, image in strip:
            draw.text((x, y), text.encode("ascii", "replace").decode(), fill="black")
            sheet.paste(image, (x, y + _LINE))
            x += max(image.width, 200) + _MARGIN
        y += max(image.height for _, image in strip) + _LINE + _MARGIN
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    files.write(target, content.getvalue())


def picture_export(target: Path, model: Path, case: Any, names: Sequence[str]) -> None:
    """Picture what a module gave beside what the exported model gives; see `picture`.

    Args:
        target: the file to write.
        model: the exported file.
        case: of `surgery.exporter.inputs`, with inputs and the module's results.
        names: of the outputs.
    """
    found = _run(model, case.arrays())
    picture(target, _pairs(dict(zip(names, case.outputs, strict=True)), found), ("torch", "onnx"))


def picture_models(target: Path, before: Path, after: Path, shapes: Mapping[str, Sequence[int]], seed: int) -> None:
    """Picture what two models give for one probe, of these shapes; see `picture`.

    Outputs pair by name, or by position where no name is in both.
    """
    from surgery.equivalence.probes import Prober
    from surgery.equivalence.session import Session
    from surgery.equivalence.subject import Subject

    subject = Subject.read(before)
    session = Session(subject)
    made = Prober(subject, seed, [shapes]).search(lambda feeds, limit: session.run(feeds, seconds=limit))
    if not made:
        raise Missing("the runtime can't run it, so there is nothing to picture", where=str(before))
    feeds = made[0].feeds
    a, names = _run(before, feeds), [port.name for port in Subject.read(after).inputs]
    b = _run(after, feeds if set(names) == set(feeds) else dict(zip(names, feeds.values(), strict=False)))
    if not set(a) & set(b):
        b = dict(zip(a, b.values(), strict=False))
    picture(target, _pairs(a, b), ("before", "after"))


def _pairs(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, Pair]:
    return {
        name: (value, b[name])
        for name, value in a.items()
        if name in b and value.shape == b[name].shape and value.dtype.kind == "f"
    }


def _run(model: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    from surgery.equivalence.session import Failed, Session
    from surgery.equivalence.subject import Subject

    subject = Subject.read(model)
    try:
        taken = {port.name for port in subject.inputs}
        values = Session(subject).run({name: value for name, value in feeds.items() if name in taken})
    except Failed as error:
        raise Missing(f"the runtime can't run it, so there is nothing to picture: {error}", where=str(model)) from error
    return {port.name: values[port.via] for port in subject.outputs if isinstance(values.get(port.via), np.ndarray)}


def _rows(name: str, a: np.ndarray, b: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The two-dimensional pieces of an output's first sample."""
    if a.ndim < 2 or not a.size:
        return []
    if a.ndim == 3:  # (batch, height, width), or (batch, steps, classes): whichever, one picture
        a, b = a[0], b[0]
        if a.shape[0] < a.shape[1] / 2 and a.shape[0] <= 64:  # few steps and many classes
            a, b = a.T, b.T
        return [(name, a, b)]
    if a.ndim == 2:
        return [(name, a, b)]
    a, b = (x.reshape(x.shape[0], -1, *x.shape[-2:])[0][:_CHANNELS] for x in (a, b))
    return [(f"{name} {i}" if len(a) > 1 else name, x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))]


def _range(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    finite = np.concatenate([x[np.isfinite(x)].ravel() for x in (a, b)]).astype(np.float64)
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _colour(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """RGB, (height, width, 3) of uint8; what is not finite is green."""
    finite = np.isfinite(values)
    share = (np.where(finite, values, low).astype(np.float64) - low) / ((high - low) or 1.0)
    at = np.clip(share, 0, 1) * (len(_STOPS) - 1)
    pixels = np.stack([np.interp(at, range(len(_STOPS)), _STOPS[:, i]) for i in range(3)], axis=-1)
    pixels[~finite] = (0, 200, 0)
    return pixels.astype(np.uint8)


def _scaled(image: Any) -> Any:
    longest = max(image.size)
    if longest > _LONGEST:
        factor = _LONGEST / longest
    else:
        factor = max(_LONGEST // 2 // longest, 1)
    size = tuple(max(round(n * factor), 1) for n in image.size)
    return image.resize(size, resample=0 if factor >= 1 else 4)  # nearest; box
