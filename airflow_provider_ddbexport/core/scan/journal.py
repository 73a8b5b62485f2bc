"""Checkpoints: what of a scan is durable, so that a run that dies at any instruction is gone on with exactly.

Everything lies in ``<ExportId>/_scan/`` beside the data files::

    plan.json                        what is scanned
    shard-00000/run-0001.json        a run of this shard began; it accepts these checkpoints of earlier runs
    shard-00000/run-0001/000001.json a checkpoint: one data file, and how far each of its segments is with it
    shard-00000/done.json            all segments are at their end: the files that are the result

A checkpoint is one object, created after its data file is durable: a data file and the positions it stands for are
known together or not at all. A run is begun by creating the next ``run-N.json``, which only one process can. It lists
the checkpoints it goes on from; whatever an earlier run, thought dead, writes after that is in no list and is ignored.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.scan.plan import ANEW
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ManifestError, ObjectExistsError, ObjectNotFoundError, ScanStoppedError

STATE_FOLDER = "_scan"
PLAN_NAME = "plan.json"

_READERS = 8
_READ_AHEAD = 256

_RUN = re.compile(r"run-(\d{4,})\.json")


class Position(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How far a segment is.

    Attributes:
        pages, items, units: read so far; items before any filter.
        last_key: DynamoDB JSON of the last item read; None at the beginning and at the end.
        is_done: whether the segment was read to its end.
    """

    segment: int
    pages: int = 0
    items: int = 0
    units: float = 0.0
    last_key: dict[str, Any] | None = None
    is_done: bool = False


class FileEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A data file, its key relative to the folder AWSDynamoDB."""

    key: str
    item_count: int
    md5: str


class Checkpoint(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A group of pages that is durable.

    Attributes:
        pages_before: of each segment, how many of its pages were durable before this group.
        file: None where the pages had no items.
        response_bytes: of the pages.
    """

    positions: list[Position]
    pages_before: list[int]
    units: float
    response_bytes: int
    file: FileEntry | None = None


@dataclass
class Durable:
    """What checkpoints have come to.

    Attributes:
        response_bytes, units: of their pages.
    """

    files: list[FileEntry] = field(default_factory=list)
    units: float = 0.0
    response_bytes: int = 0

    def add(self, checkpoint: Checkpoint) -> None:
        """Count *checkpoint*."""
        if checkpoint.file is not None:
            self.files.append(checkpoint.file)
        self.units += checkpoint.units
        self.response_bytes += checkpoint.response_bytes


class _Run(msgspec.Struct, rename="camel"):
    run: int
    token: str
    accepted: list[str]


class ShardDone(msgspec.Struct, frozen=True, rename="camel"):
    """A shard that was read to its end; written once, by whoever is first.

    Attributes:
        ended_at: ISO 8601.
        busiest_segment, busiest_share: the segment with the most items, and its part of the shard's items.
    """

    files: list[FileEntry]
    items: int
    scanned_items: int
    pages: int
    units: float
    response_bytes: int
    ended_at: str
    busiest_segment: int
    busiest_share: float
    runs: int

    def figures(self) -> dict[str, Any]:
        """Return what XCom has of it: numbers, nothing that items hold."""
        return {
            "items": self.items,
            "pages": self.pages,
            "consumed_units": self.units,
            "response_bytes": self.response_bytes,
            "runs": self.runs,
        }


def shard_folder(export_id: str, shard: int) -> str:
    """Return the folder of a shard's state, relative to the folder AWSDynamoDB."""
    return f"{export_id}/{STATE_FOLDER}/shard-{shard:05d}"


class Journal:
    """The checkpoints of one shard, and the run that adds to them. :meth:`commit` may be called by several threads.

    Memory does not grow with the checkpoints, but for the names of their files.

    Attributes:
        run: number of this run, from 1.
    """

    def __init__(self, root: ObjectStore, export_id: str, shard: int, segments: Iterable[int]) -> None:
        """Begin the next run, from *root*, the folder AWSDynamoDB. Raises ManifestError where checkpoints are amiss."""
        self._root = root
        self._folder = shard_folder(export_id, shard)
        self._lock = threading.Lock()
        self._written = 0
        while True:
            self.run, accepted = self._latest()
            self.run += 1
            entry = _Run(run=self.run, token=secrets.token_hex(8), accepted=accepted)
            try:
                root.create(self._run_key(self.run), msgspec.json.encode(entry))
                break
            except ObjectExistsError:
                # Another process began the same run at the same moment: the next one is after it.
                continue
        self._durable = Durable()
        self._positions = self._chained(accepted, segments)

    def positions(self) -> dict[int, Position]:
        """Return where each segment stands."""
        return dict(self._positions)

    def durable(self) -> Durable:
        """Return what all checkpoints that count have come to, those of earlier runs included."""
        return self._durable

    def commit(self, checkpoint: Checkpoint) -> None:
        """Make *checkpoint* durable; its data file is already.

        Raises ScanStoppedError when another run has begun meanwhile: this one's pages count no more.
        """
        with self._lock:
            self._written += 1
            number = self._written
        self.require_latest()
        self._root.create(f"{self._folder}/run-{self.run:04d}/{number:06d}.json", msgspec.json.encode(checkpoint))
        with self._lock:
            self._durable.add(checkpoint)
            for position in checkpoint.positions:
                self._positions[position.segment] = position

    def require_latest(self) -> None:
        """Raise ScanStoppedError when another run has begun since this one."""
        if self._root.exists(self._run_key(self.run + 1)):
            raise ScanStoppedError(
                f"{self._root.uri_of(self._folder)}: run {self.run + 1} took this scan over from run {self.run}; "
                "what was read since the last checkpoint is read by that run"
            )

    def finish(self, done: ShardDone) -> ShardDone:
        """Make *done* the result and return it, or the result that another run was first with."""
        self.require_latest()
        try:
            self._root.create(f"{self._folder}/done.json", msgspec.json.encode(done))
        except ObjectExistsError:
            return read_done(self._root, self._folder) or done
        return done

    def _run_key(self, run: int) -> str:
        return f"{self._folder}/run-{run:04d}.json"

    def _latest(self) -> tuple[int, list[str]]:
        """Return the latest run's number, 0 when there was none, and the keys of the checkpoints that count."""
        keys = [info.key for info in self._root.list(self._folder)]
        runs = [int(match[1]) for key in keys if (match := _RUN.fullmatch(key.rpartition("/")[2]))]
        if not runs:
            return 0, []
        run = max(runs)
        try:
            entry = msgspec.json.decode(self._root.read(self._run_key(run)), type=_Run)
        except msgspec.MsgspecError as error:
            raise self._amiss(f"run-{run:04d}.json: {error}") from None
        inside = f"{self._folder}/run-{run:04d}/"
        return run, entry.accepted + [key for key in keys if key.startswith(inside)]

    def _read(self, key: str) -> Checkpoint:
        try:
            return msgspec.json.decode(self._root.read(key), type=Checkpoint)
        except (msgspec.MsgspecError, ObjectNotFoundError) as error:
            raise self._amiss(f"{key.rpartition('/')[2]}: {type(error).__name__}") from None

    def _chained(self, keys: list[str], segments: Iterable[int]) -> dict[int, Position]:
        """Return the last position of each segment, once its checkpoints are seen to follow each other without gaps."""
        positions = {segment: Position(segment=segment) for segment in segments}
        steps: dict[int, dict[int, int]] = {segment: {} for segment in positions}
        for checkpoint in self._checkpoints(keys):
            self._durable.add(checkpoint)
            for before, position in zip(checkpoint.pages_before, checkpoint.positions, strict=True):
                known = steps.get(position.segment)
                if known is None or before in known:
                    raise self._not_chained(position.segment)
                known[before] = position.pages
                reached = positions[position.segment]
                if position.is_done or (position.pages > reached.pages and not reached.is_done):
                    positions[position.segment] = position
        for segment, known in steps.items():
            pages = 0
            for before, after in sorted(known.items()):
                if pages != before:
                    raise self._not_chained(segment)
                pages = after
            if pages != positions[segment].pages:
                raise self._not_chained(segment)
        return positions

    def _checkpoints(self, keys: list[str]) -> Iterator[Checkpoint]:
        """Yield the checkpoints in no order, some read at the same time: a large table has tens of thousands."""
        with ThreadPoolExecutor(_READERS, thread_name_prefix="ddbexport-journal") as pool:
            # In lots, because map() reads everything ahead of who takes it.
            for start in range(0, len(keys), _READ_AHEAD):
                yield from pool.map(self._read, keys[start : start + _READ_AHEAD])

    def _not_chained(self, segment: int) -> ManifestError:
        return self._amiss(f"segment {segment} is not checkpointed page after page")

    def _amiss(self, what: str) -> ManifestError:
        uri = self._root.uri_of(self._folder)
        return ManifestError(f"{uri}: the checkpoints are damaged ({what}); {ANEW}", uri=uri)


def read_done(root: ObjectStore, folder: str) -> ShardDone | None:
    """Return the result of the shard whose state is in *folder*, None where it is not at its end."""
    try:
        body = root.read(f"{folder}/done.json")
    except ObjectNotFoundError:
        return None
    try:
        return msgspec.json.decode(body, type=ShardDone)
    except msgspec.MsgspecError as error:
        uri = root.uri_of(f"{folder}/done.json")
        raise ManifestError(f"{uri}: expected the result of a scan: {error}; {ANEW}", uri=uri) from None
