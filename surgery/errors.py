"""What can go wrong, in one family of errors.

    SurgeryError           exit status 70 unless a subclass says otherwise
    |-- BadInput           2   a file, a name or an option that can't be used
    |-- Refused            3   what was asked can't be done rightly
    `-- Missing            4   a tool, an extra or a backend is not there or failed

Every message says what was wrong, where it was, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable


class SurgeryError(Exception):
    """An error that the user is to read.

    Args:
        what: one sentence on what was wrong.
        where: the file, node, tensor or line that it concerns; may be empty.
        cure: what the user can do; may be empty.
    """

    status = 70

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.cure = cure

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n{self.cure}" if self.cure else text


class BadInput(SurgeryError):
    """A file, a name or an option that can't be used (exit status 2)."""

    status = 2


class Refused(SurgeryError):
    """What was asked can't be done rightly; nothing is written (exit status 3)."""

    status = 3


class Missing(SurgeryError):
    """A tool, an extra or a backend is not installed, or failed (exit status 4)."""

    status = 4


def nearest(name: str, known: Iterable[str]) -> str:
    """The beginning of a cure, ``did you mean 'gridsample'? ``; nothing if none of the names is like `name`."""
    import difflib  # only where something went wrong

    plain = {one.lower().replace("_", "-"): one for one in known}
    close = difflib.get_close_matches(name.lower().replace("_", "-"), plain, 1)
    return f"did you mean {plain[close[0]]!r}? " if close else ""
