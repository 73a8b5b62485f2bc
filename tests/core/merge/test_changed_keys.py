"""What looking for changed keys takes."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, resolve
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys, as_stored
from airflow_provider_ddbexport.core.merge.split_pages import compiled

ATTRIBUTES = ("Book", "User")


def test_keys_are_not_kept_as_objects() -> None:
    """Looking for keys takes less than 10 bytes for each besides sieves and its table, which may be a mapped file."""
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


def test_hardly_any_other_value_passes_a_sieve() -> None:
    """Of 300,000 fewer than 10, so that most row groups that lose nothing are told by it alone; all its own do."""
    kernel = compiled()
    assert kernel is not None
    sieve = kernel.Sieve(10_000, 1 << 26)
    own, others = (as_stored(kernel, pa.array(numbers, pa.int64())) for numbers in (range(10_000), range(-300_000, 0)))
    own.sift(sieve, bytearray(b"\1") * 10_000, add=True)
    passed = bytearray(b"\1") * 10_000, bytearray(b"\1") * 300_000
    own.sift(sieve, passed[0])
    others.sift(sieve, passed[1])
    assert passed[0].count(1) == 10_000
    assert passed[1].count(1) < 10
