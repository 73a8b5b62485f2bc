"""The history of a table: what it held at any moment, and what a window changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders_table import Orders

from airflow_provider_ddbexport.local.attribute_values import Image, Key
from airflow_provider_ddbexport.local.history import TableHistory, segment_bounds

KEYS = [Key(token, b"") for token in range(4)]
IMAGES = [Image(str(number).encode(), number) for number in range(1, 4)]

writes = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(KEYS), st.sampled_from([None, *IMAGES])), max_size=30
).map(lambda found: sorted(found, key=lambda write: write[0]))


def replay(found: list[tuple[int, Key, Image | None]], until: int) -> dict[Key, Image]:
    """Return what is left after the writes up to a time, one after the other."""
    held: dict[Key, Image] = {}
    for at, key, image in found:
        if at <= until:
            if image is None:
                held.pop(key, None)
            else:
                held[key] = image
    return held


@given(writes, st.integers(-1, 21))
def test_the_past_is_what_replaying_the_writes_up_to_it_gives(
    found: list[tuple[int, Key, Image | None]], at: int
) -> None:
    """as_of(t) is the state after all writes with a time up to and including t."""
    history = TableHistory()
    for when, key, image in found:
        history.write(key, image, when)
    assert dict(history.as_of(at)) == replay(found, at)


@given(writes, st.integers(0, 20), st.integers(0, 20))
def test_a_window_turns_the_state_before_it_into_the_state_at_its_end(
    found: list[tuple[int, Key, Image | None]], start: int, length: int
) -> None:
    """Old images are the state just before the window, new images just before its end; together they lead from one to
    the other."""
    history = TableHistory()
    for when, key, image in found:
        history.write(key, image, when)
    before, after = replay(found, start - 1), replay(found, start + length - 1)
    held = dict(before)
    for change in history.changes(start, start + length):
        assert change.old == before.get(change.key)
        assert start <= change.written_micros < start + length
        if change.new is None:
            del held[change.key]
        else:
            held[change.key] = change.new
    assert held == after


@given(writes)
def test_what_is_there_now_is_counted_in_items_and_bytes(found: list[tuple[int, Key, Image | None]]) -> None:
    """Length and size are those of the items that are left."""
    history = TableHistory()
    for when, key, image in found:
        history.write(key, image, when)
    left = replay(found, 99)
    assert len(history) == len(left)
    assert history.size == sum(image.size for image in left.values())


@given(st.integers(1, 1_000_000), st.data())
def test_segments_cover_the_hash_space_without_gap_or_overlap(total: int, data: st.DataObject) -> None:
    """Each segment ends where the next one starts; the first starts at 0, the last ends at the end."""
    segment = data.draw(st.integers(0, total - 1))
    assert segment_bounds(0, total)[0] == 0
    assert segment_bounds(total - 1, total)[1] == 1 << 128
    if segment + 1 < total:
        assert segment_bounds(segment, total)[1] == segment_bounds(segment + 1, total)[0]


def test_a_clock_that_was_set_back_leaves_what_was_logged_last(orders: Orders) -> None:
    """After the clock was set back, an item written again is, from its new time on, what was written last."""
    key, first, second = KEYS[0], IMAGES[0], IMAGES[1]
    history = TableHistory()
    history.write(key, first, 100)
    history.write(key, second, 50)
    assert dict(history.as_of(49)) == {}
    assert dict(history.as_of(60)) == dict(history.as_of(100)) == {key: second}


STATEMENT: dict[str, Any] = {
    "Statement": "UPDATE Orders SET n=? WHERE pk=?",
    "Parameters": [{"N": "2"}, {"S": "a"}],
}


def put(orders: Orders) -> None:
    orders.put("a", n={"N": "2"})


def update(orders: Orders) -> None:
    orders.dynamodb.update_item(
        TableName="Orders",
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET n = :two",
        ExpressionAttributeValues={":two": {"N": "2"}},
    )


def legacy_update(orders: Orders) -> None:
    orders.dynamodb.update_item(
        TableName="Orders",
        Key={"pk": {"S": "a"}},
        AttributeUpdates={"n": {"Value": {"N": "1.0"}, "Action": "ADD"}},
    )


def batch(orders: Orders) -> None:
    orders.dynamodb.batch_write_item(
        RequestItems={"Orders": [{"PutRequest": {"Item": {"pk": {"S": "a"}, "n": {"N": "2"}}}}]}
    )


def transaction(orders: Orders) -> None:
    orders.dynamodb.transact_write_items(
        TransactItems=[{"Put": {"TableName": "Orders", "Item": {"pk": {"S": "a"}, "n": {"N": "2"}}}}]
    )


def transacted_update(orders: Orders) -> None:
    change = {
        "TableName": "Orders",
        "Key": {"pk": {"S": "a"}},
        "UpdateExpression": "SET n = :two",
        "ExpressionAttributeValues": {":two": {"N": "2"}},
    }
    orders.dynamodb.transact_write_items(TransactItems=[{"Update": change}])


def statement(orders: Orders) -> None:
    orders.dynamodb.execute_statement(**STATEMENT)


def statements(orders: Orders) -> None:
    orders.dynamodb.batch_execute_statement(Statements=[STATEMENT])


def transacted_statement(orders: Orders) -> None:
    orders.dynamodb.execute_transaction(TransactStatements=[STATEMENT])


@pytest.mark.parametrize(
    "write",
    [
        put,
        update,
        legacy_update,
        batch,
        transaction,
        transacted_update,
        statement,
        statements,
        transacted_statement,
    ],
)
def test_every_way_of_writing_an_item_is_logged_with_its_time(orders: Orders, write: Callable[[Orders], None]) -> None:
    """Before the write an export shows the old item, from its second on the new one."""
    orders.create()
    orders.put("a", n={"N": "1"})
    before = orders.aws.clock.now()
    written = orders.later(hours=1)
    write(orders)
    orders.later(hours=1)
    assert orders.exported(before) == {"a": {"n": {"N": "1"}, "pk": {"S": "a"}}}
    assert orders.exported(written) == {"a": {"n": {"N": "2"}, "pk": {"S": "a"}}}


def delete(orders: Orders) -> None:
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "a"}})


def batched_delete(orders: Orders) -> None:
    orders.dynamodb.batch_write_item(RequestItems={"Orders": [{"DeleteRequest": {"Key": {"pk": {"S": "a"}}}}]})


def transacted_delete(orders: Orders) -> None:
    orders.dynamodb.transact_write_items(TransactItems=[{"Delete": {"TableName": "Orders", "Key": {"pk": {"S": "a"}}}}])


def deleting_statement(orders: Orders) -> None:
    orders.dynamodb.execute_statement(Statement="DELETE FROM Orders WHERE pk='a'")


@pytest.mark.parametrize("write", [delete, batched_delete, transacted_delete, deleting_statement])
def test_every_way_of_deleting_an_item_is_logged_with_its_time(orders: Orders, write: Callable[[Orders], None]) -> None:
    """Before the deletion an export shows the item, from its second on none."""
    orders.create()
    orders.put("a")
    before = orders.aws.clock.now()
    deleted = orders.later(hours=1)
    write(orders)
    orders.later(hours=1)
    assert set(orders.exported(before)) == {"a"}
    assert orders.exported(deleted) == {}


def test_a_transaction_that_fails_leaves_no_trace(orders: Orders, refused: Callable[..., dict[str, Any]]) -> None:
    """Neither the table nor its history shows any write of a transaction that was cancelled."""
    orders.create()
    orders.put("a", n={"N": "1"})
    written = orders.later(hours=1)
    error = refused(
        orders.dynamodb.transact_write_items,
        TransactItems=[
            {"Put": {"TableName": "Orders", "Item": {"pk": {"S": "a"}, "n": {"N": "2"}}}},
            {"Put": {"TableName": "Orders", "Item": {"pk": {"S": "new"}}}},
            {
                "ConditionCheck": {
                    "TableName": "Orders",
                    "Key": {"pk": {"S": "absent"}},
                    "ConditionExpression": "attribute_exists(pk)",
                }
            },
        ],
    )
    assert error["Code"] == "TransactionCanceledException"
    orders.later(hours=1)
    assert orders.exported(written) == {"a": {"n": {"N": "1"}, "pk": {"S": "a"}}}
    assert orders.lines(orders.increment(written, orders.aws.clock.now())) == []
    orders.put("b")
    now = orders.later(hours=1)
    assert set(orders.exported(now - (now - written) / 3)) == {"a", "b"}


def test_a_condition_that_fails_leaves_no_trace(orders: Orders, refused: Callable[..., dict[str, Any]]) -> None:
    """A put that was refused by its condition is in no export and no increment."""
    orders.create()
    orders.put("a", n={"N": "1"})
    written = orders.later(hours=1)
    error = refused(
        orders.dynamodb.put_item,
        TableName="Orders",
        Item={"pk": {"S": "a"}},
        ConditionExpression="attribute_not_exists(pk)",
    )
    assert error["Code"] == "ConditionalCheckFailedException"
    assert orders.lines(orders.increment(written, orders.later(hours=1))) == []


def test_an_imported_table_has_its_items_from_the_import_on(orders: Orders) -> None:
    """Items that ImportTable wrote are in the history of the table it made."""
    line = b'{"Item": {"pk": {"S": "a"}, "n": {"N": "7"}}}\n'
    orders.s3.put_object(Bucket="exports-bucket", Key="in/1.json", Body=line)
    orders.dynamodb.import_table(
        S3BucketSource={"S3Bucket": "exports-bucket", "S3KeyPrefix": "in/"},
        InputFormat="DYNAMODB_JSON",
        TableCreationParameters={
            "TableName": "Orders",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    orders.pitr()
    imported = orders.aws.clock.now()
    orders.later(hours=1)
    assert orders.exported(imported) == {"a": {"n": {"N": "7"}, "pk": {"S": "a"}}}


def test_a_restored_table_has_its_items_from_the_restore_on(orders: Orders) -> None:
    """Items that a restore wrote are in the history of the table it made."""
    orders.create()
    orders.put("a")
    orders.dynamodb.restore_table_to_point_in_time(
        SourceTableName="Orders", TargetTableName="Restored", UseLatestRestorableTime=True
    )
    orders.pitr("Restored")
    restored = orders.aws.clock.now()
    orders.later(hours=1)
    assert set(orders.exported(restored, "Restored")) == {"a"}


def test_numbers_are_kept_as_dynamodb_keeps_them(orders: Orders) -> None:
    """Zeros that mean nothing go, exponents are written out, 38 digits stay exact."""
    orders.create()
    given_back = {"1.500": "1.5", "-0": "0", "1E3": "1000", "12345678901234567890123456789012345678": None}
    for index, text in enumerate(given_back):
        orders.put(str(index), n={"N": text}, ns={"NS": [text]})
    now = orders.aws.clock.now()
    orders.later(hours=1)
    found = orders.exported(now)
    for index, (text, kept) in enumerate(given_back.items()):
        assert found[str(index)]["n"] == {"N": kept or text}
        assert found[str(index)]["ns"] == {"NS": [kept or text]}
        assert orders.dynamodb.get_item(TableName="Orders", Key={"pk": {"S": str(index)}})["Item"]["n"] == {
            "N": kept or text
        }


@pytest.mark.parametrize("text", ["123456789012345678901234567890123456789", "1E126", "1E-131", "ten", ""])
def test_numbers_dynamodb_cannot_keep_are_refused(
    orders: Orders, refused: Callable[..., dict[str, Any]], text: str
) -> None:
    """Too many digits, too large, too small and no number at all are validation errors."""
    orders.create()
    error = refused(orders.put, pk="a", n={"N": text})
    assert error["Code"] == "ValidationException"
