"""Which parts of a base become one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.merge.lots import lot_shards, lots_of
from airflow_provider_ddbexport.core.snapshot.plan import Target
from airflow_provider_ddbexport.core.snapshot.record import Part

WHOLE = 1_000_000
TARGET = Target("reviews", ColumnOptions(), rows_per_part=WHOLE)
IN_PARTITIONS = replace(TARGET, options=ColumnOptions(partition_by=("day",)))


def a_part(rows: int, *partition: str) -> Part:
    """Return a part whose rows have ten bytes each."""
    return Part("key", rows, rows * 10, "", partition)


def lots(*rows: int) -> list[tuple[int, ...]]:
    return list(lots_of([a_part(count) for count in rows], TARGET))


def test_parts_as_a_conversion_makes_them_stay() -> None:
    """Whole ones, and the rest at the end."""
    assert lots(WHOLE, WHOLE, WHOLE // 3) == [(0,), (1,), (2,)]
    assert lots(0) == [(0,)]
    assert lots() == []


def test_small_parts_are_gathered_up_to_a_whole_one() -> None:
    """Those that come to half a part, and any four; the rest waits until there are more."""
    assert lots(WHOLE, 400_000, 300_000) == [(0,), (1, 2)]
    assert lots(WHOLE, 300_000, 100_000) == [(0,), (1,), (2,)]
    assert lots(WHOLE, 30_000, 10_000, 10_000, 10_000) == [(0,), (1, 2, 3, 4)]
    assert lots(200_000, 1_000, 1_000, 1_000) == [(0,), (1,), (2,), (3,)]
    assert lots(200_000, 1_000, 1_000, 1_000, 1_000) == [(0,), (1, 2, 3, 4)]
    assert lots(450_000, WHOLE, 450_000, 450_000) == [(0, 2), (1,), (3,)]


def test_parts_of_different_partitions_are_never_one() -> None:
    """However small."""
    parts = [a_part(10, "a" if number % 2 else "b") for number in range(10)]
    assert lots_of(parts, IN_PARTITIONS) == ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))


@pytest.mark.parametrize("shards", [1, 4, 50])
def test_of_partitions_that_a_conversion_wrote_nothing_is_gathered_until_merges_add_to_them(shards: int) -> None:
    """It leaves a small part of each shard in each partition; those are read and written again with a few more."""
    days = [f"day {number}" for number in range(40)]
    parts = [a_part(WHOLE // len(days), day) for _ in range(shards) for day in days]
    assert lots_of(parts, IN_PARTITIONS) == tuple((number,) for number in range(len(parts)))
    parts += [a_part(100, days[7])] * 5
    (gathered,) = [lot for lot in lots_of(parts, IN_PARTITIONS) if len(lot) > 1]
    assert {parts[number].partition for number in gathered} == {(days[7],)}
    assert len(gathered) >= 4


@pytest.mark.parametrize("daily", [0.001, 0.01, 0.1])
def test_after_a_year_of_daily_merges_there_are_few_more_parts_than_a_conversion_makes(daily: float) -> None:
    """Each day changes items all over the table; few rows are written again for being gathered."""
    dice = Random(1)
    table = 20 * WHOLE
    parts = [WHOLE] * 20
    most = again = 0
    for _ in range(365):
        kept = []
        for lot in lots(*parts):
            rows = sum(parts[number] for number in lot)
            again += rows if len(lot) > 1 else 0
            kept.append(round(rows * (1 - daily * dice.uniform(0.9, 1.1))))
        new = table - sum(kept)
        parts = [*kept, *[WHOLE] * (new // WHOLE), new % WHOLE]
        most = max(most, len(parts))
        assert sum(parts) == table
    assert most <= 2 * 20 + 4
    assert again < 365 * table * max(daily, 0.01) * 3


def test_a_small_table_is_not_written_again_every_few_days() -> None:
    """One that is less than a part, as most are, of which a hundredth changes each day."""
    table = 100_000
    parts = [table]
    again = 0
    for _ in range(365):
        kept = []
        for lot in lots(*parts):
            rows = sum(parts[number] for number in lot)
            again += rows if len(lot) > 1 else 0
            kept.append(round(rows * 0.99))
        parts = [*kept, table - sum(kept)]
        assert len(parts) <= 12
    assert again < 365 * table * 0.05


def test_small_lots_are_merged_together_and_large_ones_alone() -> None:
    """As many as are worth a task and a record; in order, each once; by sizes, so also where rows are few."""
    parts = [Part("key", 1, size << 20, "") for size in (1, 1, 14, 1, 200, 3, 200, 16, 1)]
    together = tuple((number,) for number in range(len(parts)))
    assert lot_shards(parts, together) == ((0, 1, 2), (3,), (4,), (5,), (6,), (7,), (8,))
    assert lot_shards(parts, ((0, 8), (1, 5), (2,), (3, 4))) == ((0, 1), (2,), (3,))
    assert lot_shards([], ()) == ()
    days = lot_shards([Part("key", 1, 1000, "")] * 230, tuple((number,) for number in range(230)))
    assert [len(shard) for shard in days] == [64, 64, 64, 38]
    assert [lot for shard in days for lot in shard] == [*range(230)]
