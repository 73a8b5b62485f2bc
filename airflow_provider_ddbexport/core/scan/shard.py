"""Scanning the segments of one process: a pool that takes turns at them, one checkpoint after the other."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_ddbexport.core.export.writer import data_file_name
from airflow_provider_ddbexport.core.scan.ending import Ending
from airflow_provider_ddbexport.core.scan.group import PageGroup
from airflow_provider_ddbexport.core.scan.journal import Checkpoint, FileEntry, Journal, Position
from airflow_provider_ddbexport.core.scan.pacing import Pacer, stopped
from airflow_provider_ddbexport.core.scan.page import Page
from airflow_provider_ddbexport.core.scan.progress import TELL_EVERY_S, Meter, ScanPage, log
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import DISK_FULL, workplace
from airflow_provider_ddbexport.errors import DdbExportError, ScanStoppedError, ServiceError, StorageError

FILE_BYTES = 24 << 20
"""Compressed; a data file is in memory once while it is uploaded."""
GROUP_S = 120.0
"""What a run that dies may have to read again is bounded by time as well, where the budget is small."""
WORKERS = 16

_UPLOADS = 3
_MOST_SEGMENTS_AT_ONCE = 4
_GIVEN_UP_FROM_BYTES = 8 << 20
_LOOK_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """When a group of pages becomes a data file and a checkpoint.

    Attributes:
        file_bytes: compressed size from which it is.
        group_s: seconds after which it is in any case.
        pages: pages after which it is in any case; None for any number.
    """

    file_bytes: int = FILE_BYTES
    group_s: float = GROUP_S
    pages: int | None = None


Deliver = Callable[[PageGroup], FileEntry]
"""Makes the items of a group that is closed durable, and returns what they are called. From several threads."""


class Uploads:
    """Delivers groups as the data files they are."""

    def __init__(self, root: ObjectStore, folder: str) -> None:
        self._root = root
        self._folder = folder
        self._uploads = threading.BoundedSemaphore(_UPLOADS)

    def __call__(self, group: PageGroup) -> FileEntry:
        """Write the data file into the folder, under a name of its own."""
        file = FileEntry(key=f"{self._folder}/{data_file_name()}.json.gz", item_count=group.items, md5=group.md5)
        with self._uploads:
            self._root.move_file(file.key, group.path)
        return file


def rotated(segments: Iterable[int], workers: int) -> list[int]:
    """Return *segments* so that those scanned at the same time lie far apart: neighbours share a partition."""
    ordered = list(segments)
    step = max(-(-len(ordered) // workers), 1)
    return [segment for start in range(step) for segment in ordered[start::step]]


class ShardScan:
    """Reads what is missing of a shard. Each worker takes some segments, reads a page of each in turn until a group is
    full, makes it durable, and puts them back at the end of the queue."""

    def __init__(
        self,
        journal: Journal,
        pacer: Pacer,
        parameters: dict[str, Any],
        *,
        deliver: Deliver,
        meter: Meter,
        stop: Ending,
        workers: int = WORKERS,
        limits: GroupLimits,
        clock: Callable[[], float],
    ) -> None:
        """Take *parameters* of boto3's scan, which lack Segment, Limit and ExclusiveStartKey."""
        self._journal = journal
        self._deliver = deliver
        self._pacer = pacer
        self._parameters = parameters
        self._meter = meter
        self._stop = stop
        self._limits = limits
        self._clock = clock
        self._looked_at = clock()
        self._positions = journal.positions()
        unfinished = [segment for segment, position in self._positions.items() if not position.is_done]
        self._workers = max(1, min(workers, len(unfinished)))
        self._queue = deque(rotated(unfinished, self._workers))
        self._left = len(unfinished)
        self._idle = 0
        self._changed = threading.Condition()
        self._numbers = itertools.count()

    def run(self) -> None:
        """Read every segment to its end. The first failure stops all, after the page they are at; what was read until
        then is checkpointed. Raises that failure, or ScanStoppedError where *stop* was set from outside."""
        with workplace() as folder:
            with ThreadPoolExecutor(self._workers, thread_name_prefix="ddbexport-scan") as pool:
                futures = [pool.submit(self._work, folder) for _ in range(self._workers)]
                try:
                    unfinished = set(futures)
                    while unfinished and not any(future.done() and future.exception() for future in futures):
                        unfinished = wait(unfinished, timeout=TELL_EVERY_S, return_when=FIRST_EXCEPTION).not_done
                        self._meter.tell()
                        self._look()
                finally:
                    # An interrupt of this thread, too, stops the threads that scan.
                    self._end()
            failures = [error for future in futures if (error := future.exception()) is not None]
            for error in sorted(failures, key=lambda error: isinstance(error, ScanStoppedError)):
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    raise self._disk_full(folder) from error
                raise error
            if self._left:
                raise ScanStoppedError(stopped(self._parameters["TableName"]))

    def _disk_full(self, folder: Path) -> StorageError:
        return StorageError(
            f"{folder.parent}: the disk is full; up to {self._limits.file_bytes / 1e6:,.0f} MB wait there for each of "
            f"{self._workers} workers; make room, point TMPDIR at a larger disk or scan with fewer workers, and try "
            "again: what was read until then is kept",
        )

    def _work(self, folder: Path) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="ddbexport-zip") as zipper:
            while taken := self._take():
                try:
                    self._read_group(taken, folder, zipper)
                except BaseException:
                    # Nobody may read on from before a checkpoint of which it is not known whether it is there.
                    self._end()
                    raise
                self._give_back(taken)

    def _look(self) -> None:
        """Raise ScanStoppedError where another run has taken the scan over: both spend the budget until then."""
        now = self._clock()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            # Whether the store can be reached, the next checkpoint tells.
            with contextlib.suppress(StorageError, ServiceError):
                self._journal.require_latest()

    def _end(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _take(self) -> list[int]:
        """Return segments for one group; none when there are no more, or the scan is to end."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._queue or not self._left or self._stop.is_set())
            self._idle -= 1
            if self._stop.is_set() or not self._queue:
                return []
            count = max(1, min(_MOST_SEGMENTS_AT_ONCE, len(self._queue) // self._workers))
            return [self._queue.popleft() for _ in range(count)]

    def _give_back(self, taken: list[int]) -> None:
        with self._changed:
            for segment in taken:
                if self._positions[segment].is_done:
                    self._left -= 1
                else:
                    self._queue.append(segment)
            self._changed.notify_all()

    def _read_group(self, taken: list[int], folder: Path, zipper: ThreadPoolExecutor) -> None:
        reached = {segment: self._positions[segment] for segment in taken}
        with self._group(folder, zipper) as group:
            started = self._clock()
            active = deque(taken)
            try:
                while active and not self._is_full(group, started, len(active)):
                    segment = active.popleft()
                    reached[segment] = self._read_page(group, reached[segment])
                    if not reached[segment].is_done:
                        active.append(segment)
            except (ServiceError, ScanStoppedError):
                try:
                    self._checkpoint(group, reached)
                except DdbExportError as error:
                    # What ended the reading is the cause, and may be this one's as well.
                    log.warning("What was read last is read again by the next run: %s", error)
                raise
            self._checkpoint(group, reached)

    def _read_page(self, group: PageGroup, position: Position) -> Position:
        """Add the page after *position* and return where it ends. The page is gone then: while the next one is waited
        for, or the group made durable, its lines would be most of the memory a worker takes."""
        segment = position.segment
        page = self._pacer.page({**self._parameters, "Segment": segment}, position.last_key)
        group.add(page)
        self._meter.page(
            ScanPage(segment, page.items, page.consumed_units, page.response_bytes),
            ended_segment=page.last_key is None,
        )
        return _after(position, page)

    @contextlib.contextmanager
    def _group(self, folder: Path, zipper: ThreadPoolExecutor) -> Iterator[PageGroup]:
        group = PageGroup(folder / f"{next(self._numbers)}.json.gz", zipper)
        try:
            yield group
        finally:
            group.discard()

    def _is_full(self, group: PageGroup, started: float, active: int) -> bool:
        limits = self._limits
        if self._stop.is_set():
            return True
        if not group.pages:
            return False
        if group.size >= limits.file_bytes or (limits.pages is not None and group.pages >= limits.pages):
            return True
        if self._clock() - started >= limits.group_s:
            return True
        # Others have nothing to do while this one has more than it can read at once.
        return bool(self._idle and active > 1 and group.response_bytes >= _GIVEN_UP_FROM_BYTES)

    def _checkpoint(self, group: PageGroup, reached: dict[int, Position]) -> None:
        """Make the group durable: its items first, then what they stand for."""
        moved = [position for segment, position in reached.items() if position != self._positions[segment]]
        if not moved:
            return
        group.close()
        file = self._deliver(group) if group.items else None
        self._journal.commit(
            Checkpoint(
                positions=moved,
                pages_before=[self._positions[position.segment].pages for position in moved],
                units=group.units,
                response_bytes=group.response_bytes,
                file=file,
            )
        )
        for position in moved:
            self._positions[position.segment] = position


def _after(position: Position, page: Page) -> Position:
    return Position(
        segment=position.segment,
        pages=position.pages + 1,
        items=position.items + page.scanned_items,
        units=position.units + page.consumed_units,
        last_key=page.last_key,
        is_done=page.last_key is None,
    )
