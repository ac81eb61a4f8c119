"""Drivers: how a backend compiles and runs a prepared model on this machine. One file a backend.

Each has ``load(job)``: compile what lies in the working folder, as the commands that `prepare` wrote
say, write what a user would ship beside it, load that, and give a function from inputs to outputs.
They run in a child process, `worker`, for a backend may end the process that it runs in; nothing else
imports them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

THREADS = 1  # of every backend, so that times compare

Arrays = dict[str, "np.ndarray"]  # by name
Run = Callable[[Arrays], Arrays]


class Rejected(Exception):
    """The backend does not take the model, or fails to run it: its words, in a line."""


class Died(Exception):
    """A program of the backend was ended by a signal: which, and by what."""


class Job(NamedTuple):
    """What is to be compiled; the working folder is the current one.

    Args:
        name: of the model and of what is made of it, without a suffix.
        command: the arguments of the compiler, its name first.
        options: of the target.
        outputs: names, in the model's order.
    """

    name: str
    command: list[str]
    options: dict[str, str]
    outputs: list[str]


@contextmanager
def rejecting(doing: str) -> Iterator[None]:
    """Whatever is raised inside is the backend's refusal: it has no type of its own for that."""
    try:
        yield
    except Rejected:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise Rejected(f"{doing}: {' '.join(lines)[:500] or type(error).__name__}") from error


def spawn(command: list[str]) -> None:
    """Run a program of the backend; what it prints goes to the log.

    Raises:
        Rejected: it ended with another status than 0.
        Died: a signal ended it.
    """
    import signal
    import subprocess

    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    program = command[0].rpartition("/")[2]
    if status < 0:
        raise Died(f"{program} was ended by {signal.Signals(-status).name}")
    if status:
        raise Rejected(f"{program} ended with status {status}")


def as_numpy(value: Any) -> np.ndarray:
    """An array of its own: what backends give may be theirs, and be overwritten by the next run."""
    import numpy as np

    return np.array(value)
