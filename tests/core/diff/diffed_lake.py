"""Lakes with two snapshots of a table, and what their diff has to be."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from snapshot_exports import AS_OF, write_export

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import normal_item

from airflow_provider_ddbexport.core.columns import ColumnOptions, restore
from airflow_provider_ddbexport.core.diff import DiffRecord
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore

OLD, NEW = AS_OF, AS_OF + timedelta(days=1)
KEY = ("User", "Book")

Told = tuple[str, str, str, str]
"""What became of a key, the key, the item before and the item after, as text that is equal for equal meanings."""


def lake_of(
    folder: Path,
    old: Sequence[dict[str, Any]],
    new: Sequence[dict[str, Any]],
    options: ColumnOptions | None = None,
    **arguments: Any,
) -> LocalStore:
    """Return a lake with a snapshot of *old* as of OLD, and of *new* as of NEW."""
    lake = LocalStore(folder / "lake")
    for number, (items, as_of) in enumerate(((old, OLD), (new, NEW))):
        root, export = write_export(folder / str(number), items, as_of=as_of, number=number)
        convert_export(root, export, lake, options=options, **arguments)
    return lake


def expected_changes(
    old: Iterable[dict[str, Any]], new: Iterable[dict[str, Any]], key: Sequence[str] = KEY
) -> list[Told]:
    """Return the changes as a dictionary tells them, in order."""
    before, after = ({_text({name: item[name] for name in key}): _text(item) for item in items} for items in (old, new))
    found: list[Told] = []
    for text in before.keys() | after.keys():
        if text not in before:
            found.append(("added", text, "", after[text]))
        elif text not in after:
            found.append(("removed", text, before[text], ""))
        elif before[text] != after[text]:
            found.append(("changed", text, before[text], after[text]))
    return sorted(found)


def told_changes(output: LocalStore, record: DiffRecord) -> list[Told]:
    """Return the changes in the parts of *record*, in order; their keys are taken from the items."""
    found: list[Told] = []
    for part in record.parts:
        table = pq.read_table(output.root / f"{record.table}_changes" / part.key, partitioning=None)
        assert table.num_rows == part.rows
        sides = []
        for name in ("old", "new"):
            rows = table.column(name).combine_chunks()
            batch = pa.RecordBatch.from_arrays(rows.flatten(), schema=pa.schema(list(rows.type)))
            items = restore(batch, record.schema)
            sides.append(
                [_text(item) if is_there else "" for item, is_there in zip(items, rows.is_valid(), strict=True)]
            )
            if not found:
                assert rows.type == table.schema.field("old").type
        for kind, old, new in zip(table.column("change").to_pylist(), *sides, strict=True):
            found.append((kind, "", old, new))
    return sorted(found)


def without_keys(changes: Iterable[Told]) -> list[Told]:
    """Return *changes* as :func:`told_changes` tells them."""
    return sorted((kind, "", old, new) for kind, _, old, new in changes)


def _text(item: dict[str, Any]) -> str:
    return json.dumps(normal_item(item), sort_keys=True)
