"""Scans that die, and go on."""

from __future__ import annotations

import functools
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from page_table import DiedError, MortalStore, PageTable

from airflow_provider_ddbexport.core.export import read_export, read_items, verify_export
from airflow_provider_ddbexport.core.scan import (
    GroupLimits,
    Resumption,
    ScanPage,
    ScanRequest,
    ScanSettings,
    finish_scan,
    plan_scan,
    scan_backup,
    scan_shard,
)
from airflow_provider_ddbexport.core.store import LocalStore, ObjectStore, RetryPolicy, open_store
from airflow_provider_ddbexport.errors import (
    BadCallError,
    ManifestError,
    OutcomeUnknownError,
    ScanResumeError,
    ScanStoppedError,
)
from airflow_provider_ddbexport.local import local_aws
from airflow_provider_ddbexport.local.handle import LocalAws

JOB = Resumption("daily Reviews", occasion="2026-01-14")
ITEMS = 60


def back_up(table: Any, store: ObjectStore, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "table_name": "Reviews",
        "bucket": "b",
        "segments": 4,
        "workers": 2,
        "limits": GroupLimits(pages=2),
        "resumption": JOB,
    }
    return scan_backup(table, store, **(arguments | changes))


def numbers_in(store: ObjectStore, export: Any) -> Counter[int]:
    root = store.child("AWSDynamoDB")
    read = read_export(root, export.summary.export_id)
    assert read.summary == export.summary
    verify_export(root, read)
    return Counter(int(item["Id"]["N"]) for file in read.files for item in read_items(root, read, file))


ONCE = Counter(dict.fromkeys(range(ITEMS), 1))


@pytest.mark.parametrize("dies_after", [False, True], ids=["before", "after"])
def test_a_scan_that_dies_at_any_write_goes_on_without_loss_or_double(dies_after: bool) -> None:
    """Killed before or after each single write in turn, then run again: each item once, nothing left over."""
    writes = 0
    while True:
        objects: dict[str, bytes] = {}
        table = PageTable(ITEMS)
        dying = MortalStore(objects, writes_left=writes, dies_after=dies_after)
        try:
            back_up(table, dying)
        except DiedError:
            assert dying.is_dead
        if not dying.is_dead:
            break
        again = MortalStore(objects)
        export = back_up(table, again)
        assert numbers_in(again, export) == ONCE, f"died at write {writes}"
        data = {key.removeprefix("AWSDynamoDB/") for key in objects if "/data/" in key and export.source[-20:] in key}
        assert data == {file.key for file in export.files}, "files of no checkpoint are removed"
        writes += 1
    assert writes > 30


def test_a_scan_that_dies_again_and_again_gets_to_its_end() -> None:
    """Runs that live for a few writes each read little twice: at most a group of pages of each segment a run."""
    objects: dict[str, bytes] = {}
    table = PageTable(600, page_items=5)
    chance = random.Random(7)
    deaths = 0
    while True:
        store = MortalStore(objects, writes_left=chance.randrange(3, 12))
        try:
            export = back_up(table, store)
            break
        except DiedError:
            deaths += 1
    assert deaths >= 5
    assert numbers_in(MortalStore(objects), export) == Counter(dict.fromkeys(range(600), 1))
    # Two workers, each with a group of two pages of five items.
    assert table.scanned <= 600 + deaths * 2 * 2 * 5


def test_a_run_thought_dead_neither_doubles_nor_spoils_anything() -> None:
    """Two runs of one scan, the first still alive: it is stopped at its next checkpoint, and what it wrote is gone."""
    objects: dict[str, bytes] = {}
    store = MortalStore(objects)
    table = PageTable(ITEMS)
    result: list[Any] = []

    def take_over(page: ScanPage) -> None:
        # In the middle of the first run, before any of its pages is checkpointed.
        if not result:
            result.append(None)
            result[0] = back_up(table, store)

    with pytest.raises(ScanStoppedError, match="took this scan over"):
        back_up(table, store, workers=1, on_page=take_over)
    assert numbers_in(store, result[0]) == ONCE


def test_a_run_thought_dead_is_stopped_long_before_its_next_checkpoint() -> None:
    """Both would spend the whole read budget: it looks every ten seconds, here of a clock that is quick."""
    store = MortalStore({})
    table = EndlessTable(ITEMS)
    quick = RetryPolicy(clock=lambda: 100 * time.monotonic())
    never = GroupLimits(file_bytes=1 << 40, group_s=1e9)
    others: list[Any] = []

    def take_over(_: ScanPage) -> None:
        if not others:
            others.append(None)
            others[0] = back_up(PageTable(ITEMS), store)

    with pytest.raises(ScanStoppedError, match="took this scan over"):
        back_up(table, store, workers=1, on_page=take_over, limits=never, retries=quick)
    assert numbers_in(store, others[0]) == ONCE


class EndlessTable(PageTable):
    """Its first page is there again and again, for no longer than ten minutes."""

    def scan(self, **request: Any) -> dict[str, Any]:
        self.first = getattr(self, "first", time.monotonic())
        if time.monotonic() - self.first > 600:
            raise AssertionError("nobody has stopped the scan")
        request.pop("ExclusiveStartKey", None)
        return super().scan(**request)


class OneSidedTable(PageTable):
    """All items are in segment 0: whoever has read the others waits for it."""

    def scan(self, **request: Any) -> dict[str, Any]:
        if request["Segment"]:
            return {"Items": [], "ConsumedCapacity": {"CapacityUnits": 0.5}}
        return super().scan(**{**request, "TotalSegments": 1})


class UncertainStore(MortalStore):
    """Loses the answer to the creation of the third checkpoint, which is there."""

    def child(self, folder: str) -> UncertainStore:
        child = UncertainStore(self.objects, folder=f"{self.folder}{folder}/" if folder else self.folder)
        child._life, child._lock = self._life, self._lock
        return child

    def create(self, key: str, body: bytes) -> None:
        super().create(key, body)
        if key.endswith("/000003.json") and "/run-0001/" in key:
            raise OutcomeUnknownError(f"{key}: it may or may not be there")


class WaitingStore(MortalStore):
    """Answers no reading of a checkpoint of the second run before another one is asked for.

    Attributes:
        asked: for which checkpoints.
    """

    def __init__(self, objects: dict[str, bytes], **arguments: Any) -> None:
        super().__init__(objects, **arguments)
        self.asked: list[str] = []
        self._changed = threading.Condition()

    def child(self, folder: str) -> WaitingStore:
        child = WaitingStore(self.objects, folder=f"{self.folder}{folder}/")
        child.asked, child._changed = self.asked, self._changed
        return child

    def read(self, key: str) -> bytes:
        if "/run-0002/" in key:
            with self._changed:
                self.asked.append(key)
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: len(self.asked) > 1, timeout=600)
        return super().read(key)


def test_a_checkpoint_whose_outcome_is_unknown_is_not_read_past() -> None:
    """Another worker that has nothing to do must not read on from before it: the checkpoints would contradict each
    other, and the scan could never be gone on with."""
    for _ in range(20):
        objects: dict[str, bytes] = {}
        table = OneSidedTable(ITEMS)
        with pytest.raises(OutcomeUnknownError):
            back_up(table, UncertainStore(objects), workers=3, limits=GroupLimits(pages=1))
        again = MortalStore(objects)
        assert numbers_in(again, back_up(table, again)) == ONCE


def test_a_lost_answer_costs_nothing_and_a_new_occasion_begins_anew() -> None:
    """Asked again on the same occasion the finished scan is returned unread; on another, a new one is made."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    first = back_up(table, store)
    assert back_up(table, store) == first
    assert table.scanned == ITEMS
    other = back_up(table, store, resumption=Resumption(JOB.name, occasion="2026-01-15"))
    assert other.source != first.source
    assert table.scanned == 2 * ITEMS


def stopped_in_the_middle(
    table: PageTable, store: ObjectStore, resumption: Resumption | None = JOB, says: str = "can be resumed"
) -> None:
    """Begin what :func:`back_up` does, and ask it to stop at its first page."""
    stop, request = threading.Event(), ScanRequest("Reviews")
    settings = ScanSettings(workers=2, limits=GroupLimits(pages=2), stop=stop, on_page=lambda _: stop.set())
    plan = plan_scan(table, store, request, bucket="b", segments=4, resumption=resumption)
    with pytest.raises(ScanStoppedError, match=says):
        scan_shard(table, store, plan, request, settings=settings)


def test_a_scan_that_is_asked_to_stop_reads_nothing_twice() -> None:
    """The pages it is at are checkpointed."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    stopped_in_the_middle(table, store)
    assert 0 < table.scanned < ITEMS
    assert numbers_in(store, back_up(table, store)) == ONCE
    assert table.scanned == ITEMS


def test_a_scan_that_cannot_be_resumed_does_not_say_so() -> None:
    """Neither another try nor --resume would find it."""
    stopped_in_the_middle(PageTable(ITEMS), MortalStore({}), resumption=None, says=r"asked to stop$")


def test_settings_serve_for_any_number_of_scans() -> None:
    """A scan that ends, well or not, leaves the event of its caller as it is."""
    table, request, settings = PageTable(ITEMS), ScanRequest("Reviews"), ScanSettings(limits=GroupLimits(pages=1))
    for _ in range(2):
        store = MortalStore({})
        plan = plan_scan(table, store, request, bucket="b", segments=4)
        with pytest.raises(DiedError):
            scan_shard(table, MortalStore(store.objects, writes_left=3), plan, request, settings=settings)
        scan_shard(table, store, plan, request, settings=settings)
        assert numbers_in(store, finish_scan(store, plan)) == ONCE


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "table id": ({"TableId": "22222222-2222-3333-4444-555555555555"}, {}, "table id"),
    "key schema": (
        {"KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}, {"AttributeName": "At", "KeyType": "RANGE"}]},
        {},
        "key schema",
    ),
    "segments": ({}, {"segments": 5}, "segments: started with 4, asked for 5"),
    "filter": ({}, {"filter_expression": "attribute_exists(Rating)"}, "filter"),
    "projection": ({}, {"projection_expression": "Id"}, "projection"),
    "consistency": ({}, {"is_consistent": True}, "consistent reads"),
    "expression values": ({}, {"expression_attribute_values": {":secret": {"S": "walrus"}}}, "expression values"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_scan_started_otherwise_is_not_gone_on_with(change: str) -> None:
    """The error names the difference, never a value, and the unfinished scan stays as it is."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    stopped_in_the_middle(table, store)
    before = dict(store.objects)
    described, arguments, named = CHANGES[change]
    changed = PageTable(ITEMS)
    changed.table |= described
    with pytest.raises(ScanResumeError, match=named) as caught:
        back_up(changed, store, **arguments)
    assert len(caught.value.context["differences"]) == 1
    assert "walrus" not in str(caught.value)
    assert store.objects == before
    assert numbers_in(store, back_up(table, store)) == ONCE


class OvertakenStore(MortalStore):
    """Lets *meanwhile* happen right before something is written about which scan a job goes on with."""

    def __init__(self, objects: dict[str, bytes], meanwhile: Callable[[], Any], folder: str = "") -> None:
        super().__init__(objects, folder=folder)
        self.meanwhile = meanwhile
        self.answers: list[Any] = []

    def child(self, folder: str) -> OvertakenStore:
        child = OvertakenStore(self.objects, self.meanwhile, f"{self.folder}{folder}/")
        child.answers = self.answers
        return child

    def create(self, key: str, body: bytes) -> None:
        self._overtaken(key)
        super().create(key, body)

    def write(self, key: str, body: bytes) -> None:
        self._overtaken(key)
        super().write(key, body)

    def _overtaken(self, key: str) -> None:
        if "_scans/" in key and not self.answers:
            self.answers.append(None)
            self.answers[0] = self.meanwhile()


@pytest.mark.parametrize("is_cleared", [False, True], ids=["first", "cleared"])
def test_tries_that_begin_together_make_one_scan(is_cleared: bool) -> None:
    """The first ones of a job, and those of a task that is cleared after it was through."""
    table, store, request = PageTable(ITEMS), MortalStore({}), ScanRequest("Reviews")
    if is_cleared:
        back_up(table, store)
    again = Resumption(JOB.name, occasion="cleared")

    def begin(store: ObjectStore) -> Any:
        return plan_scan(table, store, request, bucket="b", segments=4, resumption=again)

    overtaken = OvertakenStore(store.objects, lambda: begin(store))
    assert begin(overtaken) == overtaken.answers[0]
    table.scanned = 0
    assert numbers_in(store, back_up(table, store, resumption=again)) == ONCE
    assert table.scanned == ITEMS


def test_a_scan_that_ends_does_not_hide_the_one_that_was_begun_meanwhile() -> None:
    """A run that was thought dead notes that its scan is through when another has been begun in its place."""
    table, objects = PageTable(ITEMS), dict[str, bytes]()
    request = ScanRequest("Reviews")

    def begin(policy: str) -> Any:
        resumption = Resumption(JOB.name, occasion=JOB.occasion, policy=policy)
        return plan_scan(table, MortalStore(objects), request, bucket="b", segments=4, resumption=resumption)

    begun = begin("continue")
    overtaken = OvertakenStore(objects, lambda: begin("restart"))
    assert back_up(table, overtaken).summary.export_id == begun.export_id
    assert begin("require") == overtaken.answers[0] != begun


@pytest.mark.parametrize("shards", [2, 7])
def test_another_number_of_shards_is_refused(shards: int) -> None:
    """Fewer or more: the tasks that are there are not those that were planned."""
    table, store, request = PageTable(ITEMS), MortalStore({}), ScanRequest("Reviews")
    plan = plan_scan(table, store, request, bucket="b", segments=8, shards=4, resumption=JOB)
    assert plan_scan(table, store, request, bucket="b", segments=8, shards=4, resumption=JOB) == plan
    with pytest.raises(ScanResumeError, match=f"shards: started with 4, asked for {shards}"):
        plan_scan(table, store, request, bucket="b", segments=8, shards=shards, resumption=JOB)


def test_another_format_is_refused() -> None:
    """A plan of a later version, which writes something else, is not gone on with."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    stopped_in_the_middle(table, store)
    (key,) = [key for key in store.objects if key.endswith("/plan.json")]
    store.objects[key] = store.objects[key].replace(b'"DYNAMODB_JSON"', b'"PARQUET"')
    with pytest.raises(ScanResumeError, match="format: started with PARQUET"):
        back_up(table, store)


def test_damaged_checkpoints_are_not_gone_on_with() -> None:
    """A checkpoint that is missing in the middle, or is no JSON, is a ManifestError: items would be missing."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    with pytest.raises(DiedError):
        back_up(table, MortalStore(store.objects, writes_left=16), workers=1, segments=1)
    checkpoints = sorted(key for key in store.objects if "/run-0001/" in key)
    assert len(checkpoints) > 2
    missing = store.objects.pop(checkpoints[1])
    with pytest.raises(ManifestError, match="page after page"):
        back_up(table, store, segments=1)
    store.objects[checkpoints[1]] = missing[:-5]
    with pytest.raises(ManifestError, match="damaged"):
        back_up(table, MortalStore(dict(store.objects)), segments=1)


def test_a_segment_that_was_read_on_from_after_its_end_is_damaged() -> None:
    """Items would be there twice."""
    store = MortalStore({})
    table = PageTable(6)
    with pytest.raises(DiedError):
        back_up(table, MortalStore(store.objects, writes_left=8), workers=1, segments=1, limits=GroupLimits(pages=1))
    *_, last = sorted(key for key in store.objects if "/run-0001/" in key)
    checkpoint = json.loads(store.objects[last])
    assert checkpoint["positions"][0]["isDone"]
    checkpoint["pagesBefore"][0] += 1
    checkpoint["positions"][0]["pages"] += 1
    store.objects[last.replace("000002", "000003")] = json.dumps(
        checkpoint | {"positions": [checkpoint["positions"][0] | {"isDone": False}]}
    ).encode()
    with pytest.raises(ManifestError, match="page after page"):
        back_up(table, store, segments=1)


def test_a_table_that_is_replaced_while_it_is_scanned_makes_no_backup() -> None:
    """Deleted and made anew under its name, it goes on answering: with items of another table."""
    store = MortalStore({})
    table = PageTable(ITEMS)

    def replace(page: ScanPage) -> None:
        table.table = {**table.table, "TableId": "22222222-2222-3333-4444-555555555555"}

    with pytest.raises(ScanResumeError, match="the table was deleted and created again"):
        back_up(table, store, on_page=replace)
    assert not [key for key in store.objects if key.endswith("/done.json")]


def test_checkpoints_are_read_side_by_side() -> None:
    """A large table has tens of thousands, and each is a request."""
    store = WaitingStore({})
    table = PageTable(ITEMS, page_items=1)
    stopped_in_the_middle(table, store)
    with pytest.raises(DiedError):
        back_up(table, MortalStore(store.objects, writes_left=40), workers=1, limits=GroupLimits(pages=1))
    assert numbers_in(store, back_up(table, store)) == ONCE
    assert len(store.asked) > 1


def test_what_was_filtered_and_by_which_attributes_is_written_down() -> None:
    """Placeholders mean nothing without the names they stand for; values are never written."""
    store = MortalStore({})
    export = back_up(
        PageTable(4),
        store,
        filter_expression="#n0 >= :v0",
        expression_attribute_names={"#n0": "Rating"},
        expression_attribute_values={":v0": {"S": "walrus"}},
    )
    read = read_export(store.child("AWSDynamoDB"), export.summary.export_id)
    assert read.summary.scan is not None
    assert (read.summary.scan.filter_expression, read.summary.scan.names) == ("#n0 >= :v0", {"#n0": "Rating"})
    assert b"walrus" not in b"".join(store.objects.values())


def test_resuming_needs_something_to_resume() -> None:
    """policy="require" is for people who think that there is an unfinished scan; "restart" for those who want none."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    needed = Resumption(JOB.name, policy="require")
    with pytest.raises(BadCallError, match="no unfinished scan"):
        back_up(table, store, resumption=needed)
    stopped_in_the_middle(table, store)
    anew = Resumption(JOB.name, policy="restart")
    stopped_in_the_middle(table, store, resumption=anew)
    read = table.scanned
    export = back_up(table, store, resumption=needed)
    assert numbers_in(store, export) == ONCE
    assert table.scanned < read + ITEMS
    with pytest.raises(BadCallError, match="no unfinished scan"):
        back_up(table, store, resumption=needed)


def test_shards_in_several_processes_make_one_backup() -> None:
    """Each reads its own segments; finishing before all are through names those that are missing."""
    store = MortalStore({})
    table = PageTable(ITEMS)
    request = ScanRequest("Reviews")
    plan = plan_scan(table, store, request, bucket="b", segments=7, shards=3)
    settings = ScanSettings(limits=GroupLimits(pages=1))
    scan_shard(table, store, plan, request, shard=1, settings=settings)
    with pytest.raises(BadCallError, match="shards 0, 2"):
        finish_scan(store, plan)
    for shard in (0, 1, 2):
        scan_shard(table, store, plan, request, shard=shard, settings=ScanSettings())
    assert table.scanned == ITEMS
    assert numbers_in(store, finish_scan(store, plan)) == ONCE
    with pytest.raises(BadCallError, match="0 to 2"):
        scan_shard(table, store, plan, request, shard=3)


# Killed for good: processes, as the kernel does it.

KILLS = int(os.environ.get("DDBEXPORT_SCAN_KILLS", "10"))
KILLED_ITEMS = 640


@pytest.fixture(scope="module")
def reviews() -> Iterator[LocalAws]:
    """A table on the embedded AWS with 640 items, numbered."""
    with local_aws() as aws:
        dynamodb = aws.client("dynamodb")
        dynamodb.create_table(
            TableName="Reviews",
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "N"}],
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for start in range(0, KILLED_ITEMS, 25):
            puts = [
                {"PutRequest": {"Item": {"Id": {"N": str(number)}, "Review": {"S": "x" * 200}}}}
                for number in range(start, min(start + 25, KILLED_ITEMS))
            ]
            dynamodb.batch_write_item(RequestItems={"Reviews": puts})
        yield aws


def in_small_pages(dynamodb: Any, items: int) -> Any:
    """Return the client, which asks for at most so many *items* at once."""
    asking = "before-parameter-build.dynamodb.Scan"
    dynamodb.meta.events.register(asking, lambda params, **_: params.update(Limit=items))
    return dynamodb


def scan_until_killed(endpoint_url: str, folder: str, begun: multiprocessing.connection.Connection) -> None:
    """The process that is killed; it says so when it has read a page."""
    # What it leaves behind when it is killed goes with the test's folder.
    tempfile.tempdir = str(Path(folder).parent)
    said = threading.Lock()

    def on_page(_: ScanPage) -> None:
        if said.acquire(blocking=False):
            begun.send(None)

    back_up(
        in_small_pages(LocalAws(endpoint_url).client("dynamodb"), 8),
        LocalStore(Path(folder)),
        segments=8,
        workers=8,
        on_page=on_page,
    )


@contextmanager
def changing(dynamodb: Any, chance: random.Random) -> Iterator[list[int]]:
    """Put, change and delete items beside the numbered ones all the while; yields the numbers written so far."""
    ended = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not ended.wait(0.05):
            number = KILLED_ITEMS + chance.randrange(100)
            key = {"Id": {"N": str(number)}}
            if chance.random() < 0.3:
                dynamodb.delete_item(TableName="Reviews", Key=key)
            else:
                dynamodb.put_item(TableName="Reviews", Item={**key, "Review": {"S": "y" * chance.randrange(2_000)}})
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield written
    finally:
        ended.set()
        writer.join()


def test_kill_9_at_random_moments_neither_loses_nor_doubles(reviews: LocalAws, tmp_path: Path) -> None:
    """8 segments, pages of 8 items, a checkpoint for every two: killed 10 times (or DDBEXPORT_SCAN_KILLS), mostly
    while it reads, and each item that does not change is in each backup exactly once; of those that do, none twice."""
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)  # noqa: T201 - repeats the moments, as far as moments can be repeated
    chance = random.Random(seed)
    dynamodb = reviews.client("dynamodb")
    with changing(dynamodb, random.Random(seed + 1)) as written:
        kills, kills_while_reading, backups = kill_and_resume(
            reviews, str(tmp_path / "{}"), chance, most=KILLS, scan=scan_until_killed, result=backed_up
        )
    print(f"{kills} kills, {kills_while_reading} while reading, {backups} backups, {len(written)} writes")  # noqa: T201
    assert kills >= KILLS
    assert kills_while_reading >= 1
    assert backups >= 1
    assert written


@pytest.mark.parametrize("lake", ["a folder", "s3://lake"])
def test_kill_9_neither_loses_nor_doubles_on_the_way_to_parquet(reviews: LocalAws, tmp_path: Path, lake: str) -> None:
    """Straight into a snapshot, in a folder and in S3, killed a fifth as often: each item is in it exactly once."""
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)  # noqa: T201
    if lake == "s3://lake":
        reviews.client("s3").create_bucket(Bucket="lake")
    places = "s3://lake/{}" if lake == "s3://lake" else str(tmp_path / "{}")
    # What it leaves behind when it is killed goes with the test's folder.
    scan = functools.partial(publish_until_killed, str(tmp_path))
    kills, kills_while_reading, snapshots = kill_and_resume(
        reviews, places, random.Random(seed), most=max(2, KILLS // 5), scan=scan, result=published
    )
    print(f"{kills} kills, {kills_while_reading} while reading, {snapshots} snapshots")  # noqa: T201
    assert kills >= 2
    assert snapshots >= 1


def publish_until_killed(
    left: str, endpoint_url: str, place: str, begun: multiprocessing.connection.Connection
) -> None:
    """The process that is killed on the way to Parquet; it says so when it has read a page."""
    tempfile.tempdir = left
    said = threading.Lock()

    def on_page(_: ScanPage) -> None:
        if said.acquire(blocking=False):
            begun.send(None)

    publish(LocalAws(endpoint_url), place, on_page)


def publish(aws: LocalAws, place: str, on_page: Callable[[ScanPage], None] | None = None) -> tuple[ObjectStore, Any]:
    from airflow_provider_ddbexport.core.scan.to_parquet import scan_to_parquet

    lake = open_store(place, s3=aws.client("s3") if place.startswith("s3://") else None)
    settings = ScanSettings(workers=8, limits=GroupLimits(pages=8), on_page=on_page)
    request = ScanRequest("Reviews")
    record = scan_to_parquet(
        in_small_pages(aws.client("dynamodb"), 16),
        lake,
        request,
        table="reviews",
        segments=8,
        resumption=JOB,
        settings=settings,
    )
    return lake.child("reviews"), record


def published(aws: LocalAws, place: str) -> Counter[int]:
    """Return the numbers in the one snapshot that is there, which another try finds."""
    from airflow_provider_ddbexport.core.snapshot import Ledger, record_items

    store, record = publish(aws, place)
    assert Ledger(store).records() == (record,)
    return Counter(int(json.loads(line)["Item"]["Id"]["N"]) for line in record_items(store, record))


def backed_up(aws: LocalAws, place: str) -> Counter[int]:
    """Return the numbers in the backup that is there, which another try finds."""
    store = LocalStore(Path(place))
    return numbers_in(store, back_up(aws.client("dynamodb"), store, segments=8))


def kill_and_resume(
    reviews: LocalAws,
    places: str,
    chance: random.Random,
    *,
    most: int,
    scan: Callable[[str, str, multiprocessing.connection.Connection], None],
    result: Callable[[LocalAws, str], Counter[int]],
) -> tuple[int, int, int]:
    """Return how many scans were killed, how many of them while they read, and how many results came of it."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["test_resume", "boto3"])
    kills = kills_while_reading = backups = kills_of_this = 0
    while kills < most or kills_of_this:
        place = places.format(backups)
        ours, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=scan, args=(reviews.endpoint_url, place, theirs))
        process.start()
        theirs.close()
        if kills < most:
            is_reading = False
            if chance.random() < 0.8:
                # Readable when it has read a page, and at its end.
                multiprocessing.connection.wait([ours], 600)
                is_reading = True
            ended = multiprocessing.connection.wait([process.sentinel], chance.uniform(0.0, 0.3))
            if not ended:
                process.kill()
                kills += 1
                kills_of_this += 1
                kills_while_reading += is_reading
        process.join(600)
        code = process.exitcode
        process.close()
        ours.close()
        if code == 0:
            found = result(reviews, place)
            assert [found.pop(number, 0) for number in range(KILLED_ITEMS)] == [1] * KILLED_ITEMS
            assert set(found.values()) <= {1}
            backups += 1
            kills_of_this = 0
        else:
            assert code == -9
    return kills, kills_while_reading, backups
