"""How benches report: rows of a table, on the screen and in docs/performance.md."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

REPORT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: make bench -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Row:
    """What was measured, beside its yardstick of the same run; `ratio` is of the two."""

    what: str
    figure: str
    yardstick: str = ""
    ratio: float | None = None
    goal: str = ""


@dataclass(frozen=True)
class Section:
    """One bench's rows, under its name and what one has to know to read them."""

    title: str
    about: str
    rows: Sequence[Row]

    def markdown(self) -> str:
        """The section as it stands in the report."""
        lines = [f"### {self.title}", "", self.about, ""]
        lines += ["| | measured | yardstick | ratio | goal |", "|---|---|---|---|---|"]
        for row in self.rows:
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            lines.append(f"| {row.what} | {row.figure} | {row.yardstick} | {ratio} | {row.goal} |")
        return "\n".join(lines)


def machine() -> str:
    """The machine's size, and the day."""
    gigabytes = psutil.virtual_memory().total / 2**30
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {gigabytes:.0f} GB,"
        f" Python {platform.python_version()}; everything on this one machine."
    )


def write(sections: Sequence[Section]) -> None:
    """Put the figures into the report, in place of the last ones."""
    text = REPORT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    figures = "\n\n".join([machine(), *(section.markdown() for section in sections)])
    REPORT.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")
