"""How long surgery takes to begin: ``--help``, ``list`` and ``show`` against ``python -c pass``.

python -m benchmarks.startup [--runs N]
"""

from __future__ import annotations

import argparse
import sys

from benchmarks._measure import Figures, in_turn, seconds, surgery

MOST = 8  # times as long as the bare interpreter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    verbs = {"--help": ["--help"], "list": ["list"], "show gridsample": ["show", "gridsample"]}
    bare = {"python -c pass": [sys.executable, "-c", "pass"]}
    costs = in_turn(bare | {name: [*surgery(), *verb] for name, verb in verbs.items()}, runs)
    figures = Figures()
    for name in verbs:
        ours, peer = seconds(costs[name]), seconds(costs["python -c pass"])
        figures.ratio(f"surgery {name}", ours * 1000, peer * 1000, MOST, "ms")
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
