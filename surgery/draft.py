"""Put files in place whole or not at all.

A `Draft` is a hidden folder beside its target, on the same file system. What is written there
becomes the target by a rename, which the system does at once. Whenever the process ends,
the target is the old model or the new one, and what may be left over is the hidden folder, which a
later draft in the same place removes.
The model's rename comes last: by then its data files are in place, under names of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from surgery.errors import BadInput

_PREFIX, _SUFFIX = ".surgery-", ".partial"
_STALE = 3600.0  # seconds; a draft of a process that lives has its lock, where the file system has locks


class Copied(NamedTuple):
    """Bytes of a written file that were copied from another as they are. Paths are absolute, without links."""

    path: str
    offset: int
    length: int
    source: str
    source_offset: int


class Draft:
    """A model written beside its target, to be put in place or thrown away.

    ``path`` is the model file. `commit` renames it to the target; leaving the context
    without that removes it.

    Args:
        target: the file to write or to replace. A link is followed, as by any program that
            writes to a file. A file that is replaced leaves its permissions to the new one.

    Raises:
        BadInput: there can be no such file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        if "\0" in str(target):
            raise BadInput("no file can have this name", where=repr(str(target)))
        with writable(target):
            self._real = Path(os.path.realpath(target))
            self._mode = _mode(self._real)
            _clean(self._real.parent)
        # Named before it is made: a signal in between finds what to remove.
        self._folder = self._real.parent / f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}"
        self.path = self._folder / target.name
        self._data: list[str] = []
        self.copied: list[Copied] = []  # of the data files
        self._lock: int | None = None
        try:
            with writable(target):
                self._folder.mkdir(0o700)
            self._lock = _lock(self._folder)
        except BaseException:
            self.discard()
            raise

    def data(self, name: str) -> Path:
        """Where to write the data file `name`, a path relative to the model; it is put in place with it.

        Raises:
            BadInput: the data would not be found from where the model is.
        """
        if self._real.parent != Path(os.path.realpath(self.target.parent)):
            raise BadInput(
                "this is a link into another folder, where a model's data file would not be looked for",
                where=str(self.target),
                cure=f"name the file itself: {self._real}",
            )
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._data.append(name)
        return path

    @property
    def placed(self) -> list[str]:
        """The data files of the model, as they are named once it is in place."""
        return [str(self.target.parent / name) for name in self._data]

    def commit(self) -> Path:
        """Put the model in place; from here on it is the model."""
        new: list[Path] = []
        try:
            with writable(self.target):
                for name in self._data:
                    path = self._real.parent / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if not path.exists():
                        new.append(path)
                    self._place(self._folder / name, path)
                self._place(self.path, self._real)
        except BaseException:
            for path in new:
                path.unlink(missing_ok=True)
            raise
        self.discard()
        return self.target

    def discard(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _place(self, source: Path, path: Path) -> None:
        if self._mode is not None:
            source.chmod(self._mode)
        os.replace(source, path)

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def _lock(folder: Path) -> int | None:
    """Hold the folder for this process, as long as it lives; None if another one has it."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # or the file system has no locks
        os.close(held)
        return None
    return held


def _clean(parent: Path) -> None:
    """Remove what processes left that were killed: of an hour ago or more, and held by nobody."""
    for folder in parent.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # it is another's, or went just now
            if time.time() - folder.stat().st_mtime < _STALE:
                continue
            held = _lock(folder)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


@contextlib.contextmanager
def writable(target: Path) -> Iterator[None]:
    """Say of `target` what the system says of writing it."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"can't be written: {error.strerror or error}",
            where=str(target),
            cure="name a file in a folder that is there, that you may write to and that has room",
        ) from error


def _mode(path: Path) -> int | None:
    """The permissions of the file at `path`; None if there is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):  # replacing /dev/null would not be what was meant
        raise OSError(None, "it is there, and is not a file")
    if not os.access(path, os.W_OK):
        raise PermissionError(None, "it is there, and is read-only")
    return stat.S_IMODE(mode)
