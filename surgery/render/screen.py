"""The screen: results go to stdout, talk to stderr, colour and progress to terminals only.

Every verb has one, so what few need is imported where it is used.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Literal, TextIO

from surgery.render.text import escape

Color = Literal["auto", "always", "never"]

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
_ERASE = "\r\x1b[K"


class Stream:
    """One of the two output streams. A reader who has gone is no error: the rest is not printed."""

    def __init__(self, file: TextIO | None, color: Color) -> None:
        self._file = file  # None where the process was started without the stream
        self.terminal = file is not None and file.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = color == "always" or (color == "auto" and self.terminal and not os.environ.get("NO_COLOR"))
        reconfigure = getattr(file, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a name that the encoding lacks is no reason to fail

    @property
    def width(self) -> int:
        """How many characters a line may have; what goes to a file is never cut."""
        import shutil

        return shutil.get_terminal_size().columns if self.terminal else 10_000

    def write(self, text: str) -> None:
        """Write at once."""
        if self._file is None:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except BrokenPipeError:
            # Python flushes once more at its end: let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())
            self._file = None

    def paint(self, text: str, style: str) -> str:
        """`text` in a style of `_CODES`, where there is colour."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.colour and style in _CODES else text


class Screen:
    """Where a verb prints.

    Args:
        json: stdout gets one JSON document, by `document`, and nothing else.
        quiet: no talk; of a report, the last line.
        verbose: every step on a line of its own, and nothing left out of lists.
        color: when to use colour; NO_COLOR holds for "auto".
    """

    def __init__(
        self, *, json: bool = False, quiet: bool = False, verbose: bool = False, color: Color = "auto"
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.out = Stream(sys.stdout, color)
        self.err = Stream(sys.stderr, color)
        self._status = False

    def say(self, text: str = "") -> None:
        """A line of the result."""
        if not self.json:
            self.clear()
            self.out.write(text + "\n")

    def document(self, content: dict[str, Any]) -> None:
        """The result as JSON, with the number of its schema."""
        import json

        from surgery.report import SCHEMA

        self.clear()
        self.out.write(json.dumps({"schema": SCHEMA, **content}, indent=2, allow_nan=False, default=str) + "\n")

    def talk(self, text: str) -> None:
        """A line for the user that is not the result."""
        if not self.quiet:
            self.insist(text)

    def insist(self, text: str) -> None:
        """A line that is printed whatever the user asked for: an error, a negative verdict."""
        self.clear()
        self.err.write(text + "\n")

    def step(self, text: str) -> None:
        """What is being done now: a line that the next one replaces."""
        text = escape(text)
        if self.verbose:
            self.talk(text)
        elif self.err.terminal and not self.quiet:
            self.err.write(_ERASE + self.err.paint(text[: self.err.width - 1], "dim"))
            self._status = True

    def clear(self) -> None:
        """Take the line of `step` away."""
        if self._status:
            self.err.write(_ERASE)
            self._status = False
