"""What looking for changed keys takes."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, resolve
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys

ATTRIBUTES = ("Book", "User")


def test_keys_are_not_kept_as_objects() -> None:
    """Looking for keys takes less than 10 bytes for each besides its table, which may lie in a mapped file."""
    items = [{"Book": {"N": str(number)}, "User": {"S": f"u{number}"}} for number in range(20_000)]
    observation = Observation()
    observation.add(items[0])
    schema = resolve(observation, ColumnOptions())
    builder = RowBuilder(schema)
    for item in items[::1000]:
        builder.add(item)
    rows = builder.finish()
    table = pa.array(sorted(key for item in items if (key := key_bytes(item, ATTRIBUTES)) is not None), pa.binary())
    keys = ChangedKeys(ATTRIBUTES, [table])
    tracemalloc.start()
    taken = pa.total_allocated_bytes()
    try:
        search = keys.search(schema)
        found = search.find(rows)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(search.sieves) == 2
    assert found is not None
    assert len(found.keys) == 20
    assert kept + pa.total_allocated_bytes() - taken < 10 * len(items)
