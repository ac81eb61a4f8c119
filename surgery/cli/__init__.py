"""The command line: `main` reads it and runs one verb; errors become words and exit statuses.

    0    done and proven, or nothing to do
    1    a negative verdict: different, unverified, findings; nothing written
    2    usage, or input that can't be read
    3    refused by a rewrite or a target
    4    a tool, an extra or a backend is missing
    70   a fault of ours
    130  interrupted

A verb is a module of this package, loaded when it is used: it has ``add_arguments(parser)``
and ``run(arguments, screen)``, which returns the exit status.
"""

from __future__ import annotations

import argparse
import errno
import gc
import io
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from surgery.cli.parser import parse
from surgery.errors import BadInput, Missing, SurgeryError
from surgery.render.errors import error_document, show_error
from surgery.render.screen import Screen
from surgery.render.text import escape

INTERRUPTED = 130
TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments without the program's name; those of the process by default.

    Returns:
        The exit status.
    """
    if argv is None:
        # A process of its own: most of what is made lives to its end, and looking for cycles in it
        # takes a sixth of the time that imports take.
        gc.set_threshold(100_000, 50, 100)
    words = [*(sys.argv[1:] if argv is None else argv)]  # `list` is a verb in this package
    # What an error in the arguments themselves is told by.
    screen = Screen(json="--json" in words)
    debug = "--debug" in words
    try:
        with _ends_in_order():
            arguments = _parse(words, screen)
            screen = Screen(
                json=arguments.json, quiet=arguments.quiet, verbose=arguments.verbose, color=arguments.color
            )
            status: int = arguments.run(arguments, screen)
            return status
    except SystemExit as end:  # of --help, --version, and a signal
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        _fail(screen, SurgeryError("interrupted"), "interrupted", INTERRUPTED)
        return INTERRUPTED
    except Exception as error:
        if debug:
            import traceback

            for line in traceback.format_exc().splitlines():
                screen.insist(escape(line))
        known = _in_words(error)
        _fail(screen, known, _KINDS.get(known.status, "fault"), known.status)
        return known.status
    finally:
        screen.clear()


def _parse(words: list[str], screen: Screen) -> argparse.Namespace:
    """The arguments. With --json, what --help and --version print is a document, too."""
    if not screen.json:
        return parse(words)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            return parse(words)
    except SystemExit:
        screen.document({"text": printed.getvalue()})
        raise


_EXHAUSTED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_KINDS = {2: "bad-input", 3: "refused", 4: "missing"}


def _in_words(error: Exception) -> SurgeryError:
    if isinstance(error, SurgeryError):
        return error
    if isinstance(error, ModuleNotFoundError) and not (error.name or "surgery").startswith("surgery"):
        return Missing(f"the package {error.name!r} is not installed", cure=f"pip install {error.name}")
    if isinstance(error, MemoryError):
        return Missing("there is not enough memory", cure="end other programs, or use a machine with more")
    if isinstance(error, OSError) and error.filename == sys.executable:
        what = f"the process that runs models can't be started: {error.strerror}"
        return Missing(what, where=sys.executable, cure="it is started by the Python that runs this, from this path")
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        cure = "end other programs, or raise the limits on processes, files and memory (ulimit -a)"
        return Missing(f"the system has no room: {error.strerror}", where=str(error.filename or ""), cure=cure)
    if isinstance(error, OSError) and error.strerror:
        return BadInput(error.strerror, where=str(error.filename or ""))
    return SurgeryError(
        f"a fault of surgery's own: {type(error).__name__}: {error}",
        cure="--debug shows where it happened; please report it",
    )


def _fail(screen: Screen, error: SurgeryError, kind: str, status: int) -> None:
    if screen.json:
        screen.document(error_document(error, kind, status))
    else:
        show_error(screen, error, status)


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """Let the signal that ends a process unwind it: drafts are removed, children ended."""

    def end(*_: Any) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
