"""The table Reviews of the demo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orders_table import Orders

from airflow_provider_ddbexport.local import LocalAws
from airflow_provider_ddbexport.local.reviews import BUCKET, TABLE_NAME, seed_reviews

END = datetime(2026, 3, 31, 15, 30, tzinfo=UTC)


def scanned(aws: LocalAws) -> list[dict[str, object]]:
    items = aws.client("dynamodb").scan(TableName=TABLE_NAME)["Items"]
    return sorted(items, key=lambda item: (item["User"]["S"], item["Book"]["S"]))


def test_reviews_have_a_history_that_can_be_exported_day_by_day(orders: Orders) -> None:
    """Each midnight shows more reviews than the one before, and none shows what was deleted or is still to come."""
    orders.aws.reset()
    orders.aws.clock.set(END)
    orders.aws.configure(export_seconds=0)
    seeded = seed_reviews(orders.aws, days=10, items=100)
    orders.aws.clock.set(END)
    counts = []
    for day in (1, 5, 10):
        made = orders.dynamodb.export_table_to_point_in_time(
            TableArn=seeded.table_arn, S3Bucket=BUCKET, ExportTime=seeded.first_day + timedelta(days=day)
        )
        counts.append(orders.describe(made["ExportDescription"]["ExportArn"])["ItemCount"])
    assert counts == sorted(set(counts))
    assert counts[-1] == seeded.items == len(scanned(orders.aws))
    assert (seeded.first_day, seeded.last_day) == (datetime(2026, 3, 21, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))


def test_reviews_are_the_same_every_time_and_have_what_tables_grow(local_aws: LocalAws) -> None:
    """Seeding is deterministic; nested, late and mixed attributes and every kind of set and value appear."""
    seed_reviews(local_aws, days=6, items=150, end=END)
    first = scanned(local_aws)
    assert abs(local_aws.clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    local_aws.reset()
    seed_reviews(local_aws, days=6, items=150, end=END)
    assert scanned(local_aws) == first
    kinds = {kind for item in first for value in item.values() for kind in value}  # type: ignore[attr-defined]
    assert kinds == {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS"}
    editions = {kind for item in first if "Edition" in item for kind in item["Edition"]}  # type: ignore[attr-defined]
    assert editions == {"S", "N"}
