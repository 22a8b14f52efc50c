"""`make mutants`: change the rules in one place at a time; the quick tests have to notice.

mutmut makes the changes and runs the tests that reach them (its settings are in pyproject.toml).
What survives is printed with its change, unless `EQUIVALENT` says why nobody could notice it. Ends
with 1 if fewer than 90 in 100 of the others were noticed.
"""

import re
import subprocess
import sys
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant

WANTED = 0.9
NOTICED = ("killed", "timeout", "caught by type check")
EQUIVALENT = {
    r"- raise ([\w.]+)\(((?:\"[a-z_]+\", )?)(f?\"[^\"]*\"|text)((, delay)?\)( from None)?) \| "
    r"\+ raise \1\(\2(None|\"[^\"]*\")\4$":
        "the words of an exception, for the log",
    r"namespace=": "the name of a key that nobody else reads",
    r"\"redis://\"": "the pool beside it says where Redis is",
    r"int\(reset_at - time.time\(\)\)": "a second more or less until the next request is let in",
    r"cast\(None": "for the type checker alone",
    r"replace=None": "as false as False",
    r"session.photo or": "without a photo there is none to sign, whatever it is called",
    r"TELL_SECONDS if .* else 1": "the clock of the tests goes on by more than that",
    r"monotonic\(\) > until|age >= REFRESH_SECONDS|>= LAST_GOOD_SECONDS|paused_ms >[=]? [01]:":
        "a moment that no clock shows",
    r"microsecond=1\)": "a microsecond",
    r"exc_info": "Flask answers errors itself and never passes one on",
    r"next\(iter\(self._common\)\)": "it is not empty there",
    r"HTTP_X_REQUEST_ID\", \"XXXX\"|HTTP_AUTHORIZATION\", \"XXXX\"":
        "a header that nobody sent, and none that is let in",
    r"HTTP_AUTHORIZATION\", \"\"\).rpartition": "a token with blanks is none either way",
    r"\((user_id|entry|signed|typical)\) or True": "of nothing, nothing is found",
    r"paused_ms\) / 1001": "a thousandth",
    r"redis.set\(PROBE_KEY, 2|(PAUSED|TRIPPED)_KEY, 2": "that it is there counts, not its value",
    r"pipeline\(transaction=": "each command is for itself",
    r"x_fetch_from|x__in_a_thread|KeySet\(None\)|fetch_from\(None\)|done.wait\(":
        "tests/service/test_login_keys.py has it over HTTP, with threads",
    r"float\(\"-INF\"\)": "the same number",
    r"self._failed = ": "nothing was fetched yet, or as false as False",
    r"PyJWK\(key, (algorithm=None)?\)": "PyJWT finds the same one, in the key",
    r"jwt_secret: str = \"XXXX\"": "every caller says which",
    r"claims.get\(name, 1\)": "a second after 1970",
    r"self._users.get\(digest": "long over",
    r"\[:2001\]": "a character more of what the provider says",
    r"\"Retry-After\", \"XXXX\"": "no number either",
    r"if word\), None\)": "no word either",
}  # fmt: skip
"""What no test of the rules can tell from what was before, by name and change, and why."""


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
        if any(re.search(pattern, f"{name} {change}") for pattern in EQUIVALENT):
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
