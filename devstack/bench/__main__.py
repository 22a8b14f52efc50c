"""`make bench`: how fast it is, on the real parts, each figure beside a yardstick of the same run.

python -m devstack.bench [poll post worker start whole tables]

The figures of a whole run go to docs/performance.md.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from devstack.bench import poll, post, start, tables, whole, worker
from devstack.bench.table import Section, machine, write

STEADY_SECONDS = 60.0

BENCHES: dict[str, Callable[[], Section]] = {
    "poll": poll.measure,
    "post": post.measure,
    "worker": lambda: worker.measure(STEADY_SECONDS),
    "start": start.measure,
    "whole": whole.measure,
    "tables": tables.measure,
}


def main() -> int:
    """Run the named benches, or all of them, and show their tables."""
    parser = argparse.ArgumentParser(prog="python -m devstack.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="BENCH")
    names: Any = parser.parse_args().names or list(BENCHES)
    print(machine(), flush=True)
    sections = []
    for name in names:
        sections.append(BENCHES[name]())
        print(f"\n{sections[-1].markdown()}", flush=True)
        if set(names) == set(BENCHES):  # what there is, should the run be broken off
            write(sections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
