"""Results for people and for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.snapshot import CommitRecord
    from airflow_provider_ddbexport.core.store import ObjectStore

ALREADY = "published already, with the same contents; nothing was done"
"""What a command says that found the snapshot it was to publish."""

_STEP = 1000


def print_json(value: object) -> None:
    """Write *value* to standard output as one JSON document."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def figures(title: str, facts: Mapping[str, str]) -> None:
    """Write a title and its facts, names aligned."""
    width = max(map(len, facts))
    lines = [title, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
    sys.stdout.write("\n".join(lines) + "\n")


def size_text(size: float) -> str:
    """Return *size* bytes as ``1.2 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} TB"


def counted(number: int, noun: str) -> str:
    """Return *number* and what is counted, in the plural unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def record_row(record: CommitRecord) -> dict[str, Any]:
    """Return the figures of a published snapshot as JSON values."""
    from airflow_provider_ddbexport.core.times import iso

    return {
        "table": record.table,
        "as_of": iso(record.as_of),
        "rows": record.rows,
        "parts": len(record.parts),
        "bytes": sum(part.size for part in record.parts),
        "rescued": sum(record.rescued.values()),
        "source": record.source.uri,
        "export_type": record.source.export_type,
        "published_at": iso(record.published_at),
    }


def nothing_published(lake: ObjectStore, table: str | None) -> None:
    """Write that there is no snapshot of *table*, of any without one, and whether the lake itself is there."""
    from airflow_provider_ddbexport.core.store import LocalStore

    what = "no snapshot" if table is None else f"no snapshot of {table!r}"
    is_missing = isinstance(lake, LocalStore) and not lake.root.is_dir()
    sys.stdout.write(f"{what} is published in {lake.uri}{': there is no such folder' if is_missing else ''}\n")


def snapshots_table(records: Sequence[CommitRecord]) -> None:
    """Write *records* as a table; for people on a terminal, as whole lines for other programs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    on_terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False, header_style="bold")
    table.add_column("table", overflow="fold")
    for name in ("as of", "rows", "parts", "size", "rescued", "source", "published"):
        table.add_column(
            name, no_wrap=True, justify="right" if name in ("rows", "parts", "size", "rescued") else "left"
        )
    kinds = {"FULL_EXPORT": "export", "SCAN": "scan", "MERGE": "merge"}
    for record in records:
        row = record_row(record)
        table.add_row(
            row["table"],
            row["as_of"],
            f"{row['rows']:,}",
            f"{row['parts']:,}",
            size_text(row["bytes"]),
            f"{row['rescued']:,}",
            kinds.get(row["export_type"], row["export_type"]),
            f"{record.published_at:%Y-%m-%dT%H:%M:%SZ}",
        )
    # Other programs get whole lines, whatever they think is a terminal's width.
    Console(file=sys.stdout, highlight=False, width=None if on_terminal else 10_000).print(table)
