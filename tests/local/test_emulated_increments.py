"""Incremental exports of the embedded DynamoDB."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from orders_table import DAY_1, Orders

from airflow_provider_ddbexport.core.export.changes import read_changes
from airflow_provider_ddbexport.core.export.manifest import read_export
from airflow_provider_ddbexport.core.store import open_store

Refused = Callable[..., dict[str, Any]]


def test_a_window_has_one_line_for_each_item_it_changed(orders: Orders) -> None:
    """Inserts have no old image, deletes no new one, updates both, the first old and the last new; others no line."""
    orders.create()
    for pk in ("untouched", "updated", "deleted"):
        orders.put(pk, n={"N": "0"})
    start = orders.later(hours=1)
    orders.put("inserted")
    orders.put("updated", n={"N": "1"})
    last_write = orders.later(minutes=10)
    orders.put("updated", n={"N": "2"})
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "deleted"}})
    orders.put("passing")
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "passing"}})
    made = orders.increment(start, orders.later(minutes=10))
    lines = {line["Keys"]["pk"]["S"]: line for line in orders.lines(made)}
    assert set(lines) == {"inserted", "updated", "deleted"}
    assert lines["inserted"].keys() == {"Metadata", "Keys", "NewImage"}
    assert lines["deleted"].keys() == {"Metadata", "Keys", "OldImage"}
    assert lines["updated"] == {
        "Metadata": {"WriteTimestampMicros": {"N": str(int(last_write.timestamp()) * 1_000_000)}},
        "Keys": {"pk": {"S": "updated"}},
        "OldImage": {"n": {"N": "0"}, "pk": {"S": "updated"}},
        "NewImage": {"n": {"N": "2"}, "pk": {"S": "updated"}},
    }
    assert (made["ItemCount"], made["BilledSizeBytes"]) == (3, 10_000_000)


def test_new_images_only_leave_the_old_ones_out(orders: Orders) -> None:
    """With NEW_IMAGE an update shows the new image, a delete its keys."""
    orders.create()
    for pk in ("updated", "deleted"):
        orders.put(pk)
    start = orders.later(hours=1)
    orders.put("updated", n={"N": "1"})
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "deleted"}})
    made = orders.increment(start, orders.later(minutes=15), "NEW_IMAGE")
    lines = {line["Keys"]["pk"]["S"]: set(line) for line in orders.lines(made)}
    assert lines == {"updated": {"Metadata", "Keys", "NewImage"}, "deleted": {"Metadata", "Keys"}}
    assert orders.summary(made)["outputView"] == "NEW_IMAGE"


def test_the_start_of_a_window_is_inside_and_its_end_outside(orders: Orders) -> None:
    """A write at the very start belongs to the window, one at its very end to the next."""
    orders.create()
    start = orders.later(hours=1)
    orders.put("start")
    end = orders.later(minutes=15)
    orders.put("end")
    assert [line["Keys"]["pk"]["S"] for line in orders.lines(orders.increment(start, end))] == ["start"]
    orders.later(hours=1)
    following = orders.increment(end, end + timedelta(minutes=15))
    assert [line["Keys"]["pk"]["S"] for line in orders.lines(following)] == ["end"]


def test_windows_in_a_row_lead_from_one_export_to_the_next(orders: Orders) -> None:
    """A full export, changed by the windows after it, is the full export at their end."""
    orders.create()
    orders.put("kept")
    orders.put("changed", n={"N": "0"})
    start = orders.later(hours=1)
    orders.later(seconds=1)
    for step in range(3):
        orders.put("changed", n={"N": str(step)})
        orders.put(f"new-{step}")
        orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": f"new-{step - 1}"}})
        orders.later(minutes=20)
    end = orders.later(hours=1)
    held = orders.exported(start)
    middle = start + timedelta(minutes=30)
    for window in ((start, middle), (middle, end)):
        for line in orders.lines(orders.increment(*window)):
            held.pop(line["Keys"]["pk"]["S"], None)
            if image := line.get("NewImage"):
                held[image["pk"]["S"]] = image
    orders.later(hours=1)
    assert held == orders.exported(end)
    assert set(held) == {"kept", "changed", "new-2"}


def test_increments_share_one_folder_for_their_files(orders: Orders) -> None:
    """Data files lie beside the exports, each named by one manifest only."""
    orders.create()
    orders.put("a")
    start = DAY_1
    orders.later(hours=1)
    for hours in (1, 2):
        orders.increment(start, start + timedelta(minutes=15 * hours), S3Prefix="p")
    files = [key for key in orders.objects() if key.endswith(".gz")]
    assert len(files) == 10
    assert all(key.startswith("p/AWSDynamoDB/data/") for key in files)


def test_our_reader_reads_the_changes(orders: Orders) -> None:
    """Reader and emulator agree on incremental exports."""
    orders.create()
    orders.put("a")
    start = orders.later(hours=1)
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "a"}})
    made = orders.increment(start, orders.later(minutes=15))
    root = open_store("s3://exports-bucket/AWSDynamoDB", s3=orders.s3)
    export = read_export(root, made["ExportArn"].rpartition("/")[2])
    assert export.summary.from_time == start
    changes = [change for file in export.files for change in read_changes(root, export, file)]
    assert [(change.keys, change.old_image, change.new_image) for change in changes] == [
        ({"pk": {"S": "a"}}, {"pk": {"S": "a"}}, None)
    ]


def test_an_increment_in_ion_has_its_line_in_ion(orders: Orders) -> None:
    """Metadata, keys and images are fields of one struct."""
    orders.create()
    start = orders.later(hours=1)
    orders.put("a")
    orders.increment(start, orders.later(minutes=15), ExportFormat="ION")
    contents = [orders.read(key) for key in orders.objects() if key.endswith(".ion.gz")]
    lines = [line for content in contents for line in gzip.decompress(content).splitlines()]
    stamp = int(start.timestamp()) * 1_000_000
    assert lines == [
        f'$ion_1_0 {{Metadata:{{WriteTimestampMicros:{stamp}.}},Keys:{{pk:"a"}},NewImage:{{pk:"a"}}}}'.encode()
    ]


def test_without_an_end_a_window_lasts_until_now(orders: Orders) -> None:
    """A missing ExportToTime is the moment of the call."""
    orders.create()
    start = orders.later(hours=1)
    now = orders.later(minutes=20)
    window = {"ExportFromTime": start}
    made = orders.export(ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=window)
    assert orders.summary(made)["exportToTime"] == f"{now:%Y-%m-%dT%H:%M:%S}.000Z"
    assert made["IncrementalExportSpecification"]["ExportViewType"] == "NEW_AND_OLD_IMAGES"


def test_the_first_window_is_possible_sixteen_minutes_after_recovery_was_turned_on(
    orders: Orders, refused: Refused
) -> None:
    """Not after 14 minutes, but after 16."""
    orders.create()
    now = orders.later(minutes=14)
    assert refused(orders.increment, start=DAY_1, end=now)["Code"] == "ValidationException"
    now = orders.later(minutes=2)
    assert orders.increment(DAY_1, now - timedelta(minutes=1))["ExportStatus"] == "COMPLETED"


HOUR_2 = DAY_1 + timedelta(hours=2)


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ((HOUR_2, HOUR_2 + timedelta(minutes=14, seconds=59), "NEW_IMAGE"), "ValidationException"),
        ((HOUR_2, HOUR_2 + timedelta(hours=24, seconds=1), "NEW_IMAGE"), "ValidationException"),
        ((HOUR_2, HOUR_2 - timedelta(hours=1), "NEW_IMAGE"), "ValidationException"),
        ((HOUR_2, HOUR_2 + timedelta(hours=1), "NEW_IMAGES"), "ValidationException"),
        ((DAY_1 - timedelta(seconds=1), HOUR_2, "NEW_IMAGE"), "InvalidExportTimeException"),
        ((DAY_1 + timedelta(days=2), DAY_1 + timedelta(days=2, seconds=1), "NEW_IMAGE"), "InvalidExportTimeException"),
    ],
)
def test_a_window_that_cannot_be_met_is_refused(
    orders: Orders, refused: Refused, window: tuple[datetime, datetime, str], code: str
) -> None:
    """15 minutes to 24 hours, inside of what can be restored, in a view that exists (the documented NEW_IMAGES does
    not)."""
    orders.create()
    orders.later(days=2)
    start, end, view = window
    assert refused(orders.increment, start=start, end=end, view=view)["Code"] == code


@pytest.mark.parametrize("length", [timedelta(minutes=15), timedelta(hours=24)])
def test_the_shortest_and_the_longest_window_are_possible(orders: Orders, length: timedelta) -> None:
    """Exactly 15 minutes and exactly 24 hours are inside of the limits."""
    orders.create()
    orders.later(days=2)
    assert orders.increment(HOUR_2, HOUR_2 + length)["ExportStatus"] == "COMPLETED"
