"""The section of docs/benchmarks.md about merging."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page import PAGE, write_section

from merge.orders import Day

_HEAD = """\
## Merging

`make bench-merge` merges a day's increment into the snapshot of a generated table of orders, and converts the full
export of the table again; one worker, files on the local disk, each run in a process of its own. A merge uncompresses
and compresses again every page that loses a row, so what it costs depends on where the changes are. Spread evenly over
the keys is the worst case: every page loses rows. It is also the usual one, because a full export is in the order of
the keys' hashes, in which new items lie beside old ones. Changes lie together where the snapshot is partitioned by
something that they have in common, such as the day of an order; then the other parts are copied. The customers here,
which keys begin with, are numbered as they come, so that the footers tell of most parts that they have none of the
changed keys; where nothing tells that, the pages of the keys are looked at. Increments have both images unless a row
says NEW_IMAGE; each old image is compared with the row that it says was there.
"""

_FOOT = """\
The floor is what it takes to compress all pages of the snapshot that is merged into again, and to hash what is read
and what is written: no merge can be cheaper where every page loses a row, and one is where most parts are copied.
CPU is user and system time; memory is the largest resident size of the process. After each merge rows, amounts and
distinct keys are checked with DuckDB."""


@dataclass(frozen=True)
class Case:
    """A day's changes, and the medians of what converting, merging, and compressing all pages again took."""

    day: Day
    changes: int
    bytes_each: int
    repeat: int
    convert: dict[str, Any]
    merge: dict[str, Any]
    floor: dict[str, Any]

    @property
    def ratio(self) -> float:
        """CPU time of converting in that of merging."""
        return float(self.convert["cpu_seconds"] / self.merge["cpu_seconds"])

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {**dataclasses.asdict(self), "ratio": round(self.ratio, 2)}


def table(cases: Sequence[Case]) -> str:
    """Return the figures of *cases*, a row each."""
    rows = [
        "| changes | convert, CPU s | merge, CPU s | times cheaper | floor, CPU s | merge, s | peak MB | parts, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case in cases:
        where = "the newest tenth, partitioned by day" if case.day.newest < 1 else "all keys evenly"
        if not case.day.old_images:
            where += ", NEW_IMAGE"
        rows.append(
            f"| {where} | {case.convert['cpu_seconds']:.1f} | {case.merge['cpu_seconds']:.1f} | {case.ratio:.1f} | "
            f"{case.floor['cpu_seconds']:.1f} | {case.merge['seconds']:.1f} | {case.merge['peak_mb']:.0f} | "
            f"{case.convert['parts_mb']:.0f} → {case.merge['parts_mb']:.0f} |"
        )
    return "\n".join(rows)


def write_page(machine: str, cases: Sequence[Case], page: Path = PAGE) -> None:
    """Write the section."""
    first = cases[0]
    measured = (
        f"Measured on {machine}: {first.day.items:,} items of {first.bytes_each} bytes of JSON, {first.changes:,} "
        f"changes in the first row; medians of {first.repeat}."
    )
    write_section("merge", "\n".join([_HEAD, measured, "", table(cases), "", _FOOT]), page)
