"""The report of a conversion as text for people: in task logs and on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_ddbexport.core.columns import shown_attribute
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.snapshot.report import MISFIT

_MOST_LINES = 60
"""Of a table; the commit record has all."""

_MOST_TYPE = 60

_IN_WORDS = {
    "S": "text",
    "N": "numbers",
    "B": "binaries",
    "BOOL": "booleans",
    "NULL": "NULL",
    "M": "maps",
    "M{}": "empty maps",
    "L": "lists",
    "SS": "sets of text",
    "NS": "sets of numbers",
    "BS": "sets of binaries",
    MISFIT: "not held exactly",
}


def report_lines(record: CommitRecord) -> list[str]:
    """Return the report in *record* as lines; none where it has no report."""
    report = record.report
    if not report:
        return []
    seconds = ", ".join(f"{stage} {took:.1f}" for stage, took in report["seconds"].items())
    sizes = ", ".join(
        f"{report[name] / 1e6:,.1f} MB {words}"
        for name, words in (("read_bytes", "read"), ("json_bytes", "of JSON"), ("written_bytes", "written"))
    )
    columns = [
        (column["column"], _cut(column["type"]), f"{column['nulls']:,}", shown_attribute(column["path"]))
        for column in report["columns"]
    ]
    lines = [f"{report['items']:,} items; {sizes}; seconds of work: {seconds}"]
    lines += _table(("column", "type", "nulls", "attribute"), columns)
    if report["rescued"]:
        lines += _table(
            ("rescued", "values", "why"),
            [
                (shown_attribute(entry["path"]), f"{entry['count']:,}", _reasons(entry["why"]))
                for entry in report["rescued"]
            ],
        )
    # Reports of earlier versions do not tell.
    if unused := report.get("unused_options"):
        lines.append(
            f"options name what no column is of: {_listed(unused)}; check the spelling, upper and lower case too"
        )
    return lines + _drift_lines(report["drift"])


def _drift_lines(drift: Mapping[str, Any] | None) -> list[str]:
    if drift is None:
        return []
    found = [
        f"{words} {_listed(drift[name])}"
        for name, words in (
            ("new_columns", "new columns"),
            ("unused_columns", "columns without a value"),
            ("newly_rescued", "rescued for the first time"),
        )
        if drift[name]
    ]
    return [f"since {drift['previous']}: {drift['rows']:+,} rows; " + ("; ".join(found) or "the same columns")]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    shown = [head, *rows[:_MOST_LINES]]
    widths = [max(len(row[place]) for row in shown) for place in range(len(head) - 1)]
    lines = [
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in shown
    ]
    more = len(rows) - _MOST_LINES
    return [*lines, f"  … and {more:,} more in the commit record"] if more > 0 else lines


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(shown_attribute, names[:10])) + more


def _reasons(why: Mapping[str, int]) -> str:
    ordered: Iterable[tuple[str, int]] = sorted(why.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{_IN_WORDS.get(kind, kind)} {count:,}" for kind, count in ordered) or "several reasons"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TYPE else text[: _MOST_TYPE - 1] + "…"
