"""A folder as `prepare` writes it, of a model that nothing was done to: what does the backend make of that?"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from surgery.model import load
from surgery.targets import choose
from surgery.targets.cases import Case
from surgery.targets.plan import ports
from surgery.targets.prepare import Prepared, write
from surgery.targets.sizes import Dim, Profile, settle


def fixed(shapes: dict[str, tuple[int, ...]]) -> Profile:
    """A profile of one size."""
    return {name: tuple(Dim(d, d, d) for d in shape) for name, shape in shapes.items()}


def lay_out(model: Path, target: str, cases: Sequence[Case], folder: Path) -> Path:
    """Write the folder.

    Args:
        model: as it is.
        target: by name, with options.
        cases: inputs, and what is right for them; the model is compiled for their sizes.
        folder: to make.

    Returns:
        `folder`, for `surgery.compile`.
    """
    chosen = choose(target)
    profiles = [fixed({name: value.shape for name, value in case.feeds.items()}) for case in cases]
    sizes = settle(ports(load(model)), profiles, chosen)
    folder.mkdir()
    shutil.copyfile(model, folder / model.name)
    steps = import_module(f"surgery.targets.{chosen.name}").build(chosen, sizes, model.stem)
    write(folder, Prepared(chosen, steps=steps), sizes, cases, model.name)
    return folder
