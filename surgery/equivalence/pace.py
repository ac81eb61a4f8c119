"""Run jobs one at a time while the parent is at work, and two at a time once it waits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Pace:
    """Maps like an executor.

    The parent edits the model while its baseline is made, and is what the user waits for. Two
    threads at once would take from it on a machine of two cores, which is what many have.

    Attributes:
        hurry: set once the parent waits.
    """

    def __init__(self) -> None:
        self.hurry = threading.Event()
        self._helper = ThreadPoolExecutor(1) if (os.cpu_count() or 1) > 1 else None

    def map(self, job: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """The results of `job` for all `items`, in their order; raises what a job raises."""
        todo = list(enumerate(items))
        results: list[Any] = [None] * len(todo)
        todo.reverse()

        def work() -> None:
            while True:
                try:
                    number, item = todo.pop()
                except IndexError:
                    return
                results[number] = job(item)

        def help_out() -> None:
            while todo and not self.hurry.wait(0.01):
                pass
            work()

        helping = self._helper.submit(help_out) if self._helper else None
        try:
            work()
        finally:
            todo.clear()
            if helping:
                helping.result()
        return results
