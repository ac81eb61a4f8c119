"""Files that a verb writes besides models: a page, a picture. Nothing else is written over by them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from surgery.errors import BadInput


def writable(path: Path, noun: str, opening: bytes) -> None:
    """Make sure, before long work, that a file can be written to `path`.

    Args:
        path: where.
        noun: what is to be written.
        opening: how such a file begins, in lower case.

    Raises:
        BadInput: its folder is not there, or there is a file already that begins otherwise.
    """
    if not path.parent.is_dir():
        raise BadInput("there is no such folder", where=str(path.parent), cure="make it, or name another file")
    if path.is_dir():
        raise BadInput(f"the {noun} is to be a file, and this is a folder", where=str(path))
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(opening)).lower() != opening:
                raise BadInput(f"there is a file already that is no {noun}", where=str(path), cure="name another file")


def write(path: Path, content: bytes) -> None:
    """Put a file in place, whole or not at all.

    Raises:
        BadInput: it can't be written.
    """
    draft = ""
    try:
        handle, draft = tempfile.mkstemp(prefix=".surgery-", suffix=".partial", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException as error:
        if draft:
            Path(draft).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BadInput(f"can't be written: {error.strerror or error}", where=str(path)) from error
        raise
