"""`make mutants`: change the rules in one place at a time; the quick tests have to notice.

mutmut makes the changes and runs the tests that reach them (its settings are in pyproject.toml).
What survives is printed with its change, unless `EQUIVALENT` says why nobody could notice it. Ends
with 1 if fewer than 90 in 100 of the others were noticed.
"""

import subprocess
import sys
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant

WANTED = 0.9
NOTICED = ("killed", "timeout", "caught by type check")
EQUIVALENT: dict[str, str] = {}
"""A change, as `- before | + after`, and why no test can tell it from what was before."""


def main() -> int:
    """Make the mutants, run the tests, and say what survived."""
    mutmut = Path(sys.executable).with_name("mutmut")
    with Path("mutants.log").open("w") as log:
        subprocess.run([mutmut, "run"], check=False, stdout=log, stderr=log)
    listed = subprocess.run(
        [mutmut, "results", "--all", "true"], check=True, capture_output=True, text=True
    ).stdout
    results = dict(line.strip().split(": ", 1) for line in listed.splitlines() if ": " in line)
    survivors = [name for name, result in results.items() if result not in NOTICED]
    equivalent = 0
    for name in survivors:
        change = _change(name)
        if change in EQUIVALENT:
            equivalent += 1
        else:
            print(f"{name} ({results[name]})\n    {change}")
    count, alive = len(results) - equivalent, len(survivors) - equivalent
    share = (count - alive) / count
    print(f"{count} mutants, {count - alive} noticed ({share:.0%}), {equivalent} are equivalent")
    return 0 if share >= WANTED else 1


def _change(name: str) -> str:
    """The lines that a mutant changes."""
    lines = get_diff_for_mutant(name).splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return " | ".join(f"{line[0]} {line[1:].strip()}" for line in changed)


if __name__ == "__main__":
    sys.exit(main())
