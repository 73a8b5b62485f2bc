"""Whether all wrote the same: a checksum of the rows that neither their order nor the types' spelling changes."""

from __future__ import annotations

from typing import Any

from convert.items import Columns


def checksum(glob: str, columns: Columns) -> list[str]:
    """Return the rows of the Parquet files *glob* and the sum of their hashes, read as the types of *columns*."""
    import duckdb

    values = ", ".join(_value(f'"{name.lower()}"', kind) for name, kind in columns.items())
    found = duckdb.execute(
        f"SELECT count(*), sum(hash({values})::HUGEINT) FROM read_parquet('{glob}', hive_partitioning=false)"
    ).fetchone()
    return [str(figure) for figure in found or ()]


def _value(column: str, kind: Any) -> str:
    if isinstance(kind, dict):
        return ", ".join(_value(f'{column}."{name}"', inner) for name, inner in kind.items())
    if isinstance(kind, list):
        return f"list_sort(list_transform(map_entries({column}), lambda e: (e.key, {_value('e.value', kind[0])})))"
    if kind == "SS":
        return f"list_sort({column})"
    return f"{column}::{ {'S': 'VARCHAR', 'N': 'BIGINT', 'D': 'DECIMAL(38,9)', 'BOOL': 'BOOLEAN'}[kind] }"
