"""Increments boiled down to what they come to: for each key they changed, whether it was there, and its last item.

Changes are read once, verified, and dealt by the hash of their key to buckets on the local disk, each of which fits
into memory but for its items. What a bucket comes to is held by this process, where it does all of the merge and there
is one, or written to a *staging* store, where every worker finds it::

    keys-00000.arrow        the keys that changed
    survivors-00000.json.gz the last item of each, one {"Item":…} a line, but for those that were deleted
    before-00000.json.gz    the item that each had before the first change, as far as the increments tell

All three are in the order of the keys' bytes, so that the same changes give the same bytes in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from types import ModuleType

from airflow_provider_ddbexport.core.decoder import compiled_changes
from airflow_provider_ddbexport.core.export.changes import require_changes
from airflow_provider_ddbexport.core.export.lines import BlockReader
from airflow_provider_ddbexport.core.export.manifest import read_export
from airflow_provider_ddbexport.core.export.model import DataFile, Export, HeldFile
from airflow_provider_ddbexport.core.export.source import split_source
from airflow_provider_ddbexport.core.merge.change_keys import KeyReader
from airflow_provider_ddbexport.core.merge.settle import Bucket, open_spilled, settle, survivors_key
from airflow_provider_ddbexport.core.merge.settled import Settled, settled
from airflow_provider_ddbexport.core.merge.spill import Spill
from airflow_provider_ddbexport.core.merge.take_changes import ChangeTaker
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress, ProgressCounter
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import MergeConflictError

KEYS_PER_BUCKET = 500_000
"""Changes that are in memory at once, up to 500 bytes each; their items are not."""

NEW_IMAGES_ONLY = "NEW_IMAGE"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What all increments came to.

    Attributes:
        key_attributes: of the table, by name; none without changes.
        changes: lines read.
        buckets: none without changes.
    """

    key_attributes: tuple[str, ...]
    changes: int
    buckets: tuple[Bucket, ...]

    @property
    def changed(self) -> int:
        """Keys that the increments changed."""
        return sum(bucket.changed for bucket in self.buckets)

    @property
    def there(self) -> int:
        """Keys that the increments say were there before the first of them."""
        return sum(bucket.there for bucket in self.buckets)

    @property
    def survivors(self) -> tuple[DataFile, ...]:
        """The files of items to add."""
        return tuple(bucket.survivors for bucket in self.buckets if bucket.survivors is not None)


@dataclass(frozen=True, slots=True)
class Held:
    """What all increments came to, held by this process.

    Attributes:
        compacted: in numbers; the files of its bucket were not written.
        changes: None without any.
    """

    compacted: Compacted
    changes: Settled | None


@dataclass(frozen=True, slots=True)
class Increment:
    """An incremental export and where its files are.

    Attributes:
        root: its folder AWSDynamoDB.
    """

    root: ObjectStore
    export: Export


def read_increment(
    source: str, open_store: Callable[[str], ObjectStore], *, accept_edited_summary: bool = False
) -> Increment:
    """Return the incremental export whose folder is *source*, its manifests checked; *open_store* opens its root."""
    root_uri, export_id = split_source(source)
    root = open_store(root_uri)
    return Increment(root, read_export(root, export_id, accept_edited_summary=accept_edited_summary))


def compact(
    increments: Sequence[Increment],
    staging: ObjectStore,
    *,
    untold_micros: int | None = None,
    progress: OnProgress | None = None,
) -> Compacted:
    """Write to *staging* what *increments*, oldest first, come to, and return what was written.

    The change with the highest WriteTimestampMicros decides about its key. Every byte of the increments is verified
    before anything is written. Repeating it writes the same. Of what was written at *untold_micros* it is not told
    whether it was there before, nor what it was.

    Raises BadCallError, DataFileError, ItemError, the store's errors, and MergeConflictError where an increment has
    another old image of an item than the new one of the increments before it, and no time lies between them.
    """
    with workplace() as folder:
        compiled = compiled_changes()
        attributes, spill = _dealt(increments, folder, compiled, untold_micros, progress)
        written = []
        unlike = 0
        for number, path in enumerate(spill.flushed()):
            bucket, breaks = settle(path, number, staging, folder, _stretches(increments), compiled=compiled)
            written.append(bucket)
            unlike += breaks
            # Its items are in the staging store; the disk need not hold them twice.
            path.unlink(missing_ok=True)
    if unlike:
        raise _conflict(increments, unlike)
    changes = _expected(increments)
    return Compacted(attributes, changes, tuple(written) if changes else ())


def can_hold(increments: Sequence[Increment]) -> bool:
    """Return whether what *increments* come to is little enough for :func:`hold`."""
    return _buckets(increments) == 1


def hold(
    increments: Sequence[Increment], *, untold_micros: int | None = None, progress: OnProgress | None = None
) -> Held:
    """Return what *increments*, oldest first, come to, as :func:`compact` does, but write nothing.

    Their items stay on the local disk, in a file without a name that is gone with what is returned, or this process.
    """
    with workplace() as folder:
        compiled = compiled_changes()
        attributes, spill = _dealt(increments, folder, compiled, untold_micros, progress)
        (path,) = spill.flushed()
        found = settled(open_spilled(path), _stretches(increments), compiled) if path.stat().st_size else None
    changes = _expected(increments)
    if found is None:
        return Held(Compacted(attributes, changes, ()), None)
    if found.unlike:
        raise _conflict(increments, found.unlike)

    def survivors() -> Iterator[bytes]:
        return (lines for lines, _ in found.lines(old=False))

    file = HeldFile(survivors_key(0), found.left, "", survivors) if found.left else None
    bucket = Bucket(None, found.changed, found.there, file, None)
    return Held(Compacted(attributes, changes, (bucket,)), found)


def _dealt(
    increments: Sequence[Increment],
    folder: Path,
    compiled: ModuleType | None,
    untold_micros: int | None,
    progress: OnProgress | None,
) -> tuple[tuple[str, ...], Spill]:
    """Return the attributes of the keys, and where the changes of *increments* were dealt to, in *folder*."""
    for increment in increments:
        require_changes(increment.export)
    counter = ProgressCounter("read", _expected(increments), progress)
    spill = Spill(folder, _buckets(increments), compiled)
    keys = KeyReader()
    for window, increment in enumerate(increments):
        export = increment.export
        tells_before = export.summary.output_view != NEW_IMAGES_ONLY
        for file in export.files:
            taker = ChangeTaker(spill, keys, window, tells_before=tells_before, untold_micros=untold_micros)
            BlockReader(increment.root, export, file, taker).read(counter.tick)
    return keys.attributes, spill


def _expected(increments: Sequence[Increment]) -> int:
    return sum(increment.export.summary.item_count for increment in increments)


def _buckets(increments: Sequence[Increment]) -> int:
    # One at least: a file may hold lines where its manifest counts none, which is found once they are read.
    return max(1, -(-_expected(increments) // KEYS_PER_BUCKET))


def _stretches(increments: Sequence[Increment]) -> list[int]:
    """Return for each of *increments* how many gaps there are before it."""
    summaries = [increment.export.summary for increment in increments]
    return list(accumulate((one.as_of != other.from_time for one, other in pairwise(summaries)), initial=0))


def _conflict(increments: Sequence[Increment], unlike: int) -> MergeConflictError:
    first, last = increments[0].export.summary, increments[-1].export.summary
    return MergeConflictError(
        f"table {last.table_name}, {len(increments)} increments from {iso(first.from_time or first.as_of)} to "
        f"{iso(last.as_of)}: {unlike} items are not, where an increment begins, what the ones before it have left; "
        "they do not belong together, or one of them is damaged: convert a full export and go on from there",
        items=unlike,
        as_of=iso(last.as_of),
    )
