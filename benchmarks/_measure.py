"""Time and memory of commands, and how they compare.

Peak memory is that of the whole process tree. Every `PERIOD` the resident sets of the command and of
all its descendants are added up; the peak is the largest sum, or the largest high-water mark that the
kernel kept of one process, if that is more. Pages that two processes share count twice: the figure is
never flattering to a command that works in several processes. (What wait4 reports is no use: it counts
what the process that started the command held at that moment.)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PERIOD = 0.01  # seconds between looks at memory
MEGA = 1e6
Command = Sequence[str]


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    seconds: float
    peak: int  # bytes
    output: str = ""  # the end of what it printed


class Failed(Exception):
    """A command that was to be measured failed."""


def measure(command: Command) -> Cost:
    """Run a command to its end."""
    with tempfile.TemporaryFile() as talk:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=talk, stderr=subprocess.STDOUT)
        done = threading.Event()
        largest = [0]
        watch = threading.Thread(target=_watch, args=(process.pid, done, largest), daemon=True)
        watch.start()
        status = process.wait()
        seconds = time.perf_counter() - start
        done.set()
        watch.join()
        talk.seek(0)
        tail = talk.read()[-2000:].decode(errors="replace")
        if status:
            raise Failed(f"{' '.join(command)}: exit status {status}\n{tail}")
    return Cost(seconds, largest[0], tail)


def _watch(root: int, done: threading.Event, largest: list[int]) -> None:
    """Keep the most that the processes under `root` held at once, until `done`."""
    while not done.wait(PERIOD):
        processes = list(_memory(root))
        if processes:
            largest[0] = max(largest[0], sum(now for now, _ in processes), max(mark for _, mark in processes))


def _memory(process: int) -> Iterator[tuple[int, int]]:
    """For a process and each descendant: its resident bytes, and the most that they ever were."""
    folder = Path(f"/proc/{process}")
    try:
        lines = (line.split() for line in (folder / "status").read_text().splitlines())
        held = {fields[0]: int(fields[1]) * 1024 for fields in lines if fields[0] in ("VmRSS:", "VmHWM:")}
        children = [c for task in (folder / "task").iterdir() for c in (task / "children").read_text().split()]
    except OSError:
        return  # it has ended
    if held:  # else it has ended, but nobody has waited for it yet
        yield held["VmRSS:"], held["VmHWM:"]
    for child in children:
        yield from _memory(int(child))


def in_turn(commands: Mapping[str, Command], runs: int) -> dict[str, list[Cost]]:
    """Measure each command `runs` times, one after another in rounds; the first round warms caches."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            cost = measure(command)
            if turn:
                costs[name].append(cost)
    return costs


def seconds(costs: Sequence[Cost]) -> float:
    """The median time of several runs."""
    return median(c.seconds for c in costs)


def peak(costs: Sequence[Cost]) -> float:
    """The median peak memory of several runs, in bytes."""
    return median(c.peak for c in costs)


class Figures:
    """The figures of one benchmark, printed as they come; `status` tells whether all were met."""

    def __init__(self) -> None:
        self.missed = 0

    def ratio(self, what: str, ours: float, peer: float, most: float, unit: str) -> None:
        """Print ours beside the peer's, and judge their ratio."""
        self._judge(f"{what:34} {ours:9.3f} / {peer:9.3f} {unit:3} = {ours / peer:6.2f}", ours / peer, most)

    def amount(self, what: str, ours: float, most: float, unit: str) -> None:
        """Print an amount and judge it."""
        self._judge(f"{what:34} {ours:9.3f} {unit}", ours, most)

    def _judge(self, line: str, value: float, most: float) -> None:
        met = value <= most
        self.missed += not met
        print(f"{line}   at most {most:g}: {'met' if met else 'MISSED'}", flush=True)

    @property
    def status(self) -> int:
        """The exit status."""
        return int(self.missed > 0)


def surgery() -> list[str]:
    """The start of a surgery command line: the script of this environment, as a user would call it."""
    script = Path(sys.executable).with_name("surgery")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "import sys; from surgery.cli import main; sys.exit(main())"]


def tool(name: str) -> str | None:
    """The path of a peer's command in this environment, or None."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
