"""The diff of two snapshots from the incremental exports between them, which tell of each key what it was and is.

Costs what changed, and not what the table holds: neither snapshot is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from isal import igzip

from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.diff.changes import Change, ChangeKind, Counts, Take
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.export.chain import chain_increments
from airflow_provider_ddbexport.core.export.model import DataFile, ExportType
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge.compact import Compacted, Increment, compact, read_increment
from airflow_provider_ddbexport.core.merge.filtered import IsFiltered, refuse_filtered
from airflow_provider_ddbexport.core.merge.merge_input import chain_base
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.local import LocalStore
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import AccessError, BadCallError, BadDataError, StorageError

_BOTH_IMAGES = "NEW_AND_OLD_IMAGES"
_OTHERWISE = "compare the snapshots themselves with increments=() (--compare)"

_Keyed = tuple[bytes, Item]


@dataclass(frozen=True, slots=True)
class KnownIncrements:
    """The increments that were merged to make one snapshot of another, where they can still tell the difference.

    Attributes:
        increments: oldest first; none where they cannot.
        why_not: what is missing, in words; None where there are any.
    """

    increments: tuple[Increment, ...]
    why_not: str | None = None


def known_increments(
    old: CommitRecord,
    new: CommitRecord,
    open_store: Callable[[str], ObjectStore],
    *,
    accept_edited_summary: bool = False,
) -> KnownIncrements:
    """Return the increments that were merged to make *new* of *old*, if they can still tell the difference.

    They can when they are still there and fulfil what :func:`changes_of_increments` asks of them.
    """
    # Windows begin at whole seconds; what a full export's time has beyond is for _covering() to name.
    begins = old.as_of.replace(microsecond=0)
    sources = [
        ancestor.uri
        for ancestor in new.source.ancestry
        if ancestor.from_time is not None and parse_time(ancestor.from_time) >= begins
    ]
    if not sources:
        return KnownIncrements((), f"the snapshot as of {iso(new.as_of)} was not made of the earlier one by a merge")
    try:
        increments = [
            read_increment(source, open_store, accept_edited_summary=accept_edited_summary) for source in sources
        ]
        return KnownIncrements(tuple(_covering(increments, old, new)))
    except (AccessError, BadCallError, BadDataError, StorageError) as error:
        # Comparing the snapshots is what happens then, and needs no advice.
        return KnownIncrements((), str(error).partition(f"; {_OTHERWISE}")[0])


def changes_of_increments(
    increments: Sequence[Increment],
    old: CommitRecord,
    new: CommitRecord,
    key: Sequence[str],
    *,
    take: Take | None = None,
    is_filtered: IsFiltered | None = None,
) -> Counts:
    """Return how the items of *new* differ from those of *old*, and give each change to *take*, in any order.

    *increments* have to lead from the one to the other exactly, in any order of delivery, and to hold old images. What
    was written and written back between the two is no change. Memory and temporary files are as for
    :func:`.compact`; every byte of the increments is verified before the first change is given.

    Raises BadCallError for increments that cannot tell the difference, one with a filter among them, as far as
    *is_filtered* tells, ExportChainError for a gap or an overlap among them, and what :func:`.compact` raises.
    """
    ordered = _covering(increments, old, new)
    if is_filtered is not None:
        refuse_filtered(old, [increment.export for increment in ordered], is_filtered)
    with workplace() as folder:
        staging = LocalStore(folder)
        compacted = compact(ordered, staging)
        if compacted.changed and set(key) != set(compacted.key_attributes):
            raise BadCallError(
                f"key: the increments are of a table with the key {' and '.join(map(repr, compacted.key_attributes))}, "
                f"found {' and '.join(map(repr, key))}"
            )
        counts = _count(staging, compacted, take)
    counts.unchanged = old.rows - counts.changed - counts.removed
    if counts.unchanged < 0 or old.rows + counts.added - counts.removed != new.rows:
        raise BadCallError(
            f"increments: they add {counts.added} items to the {old.rows} of the snapshot as of {iso(old.as_of)} and "
            f"remove {counts.removed}, but the one as of {iso(new.as_of)} has {new.rows}; they are not what lies "
            f"between these snapshots: {_OTHERWISE}"
        )
    return counts


def _covering(increments: Sequence[Increment], old: CommitRecord, new: CommitRecord) -> list[Increment]:
    """Return *increments* in order if they tell exactly what was written from *old* to *new*."""
    for record in (old, new):
        if record.source.export_type == ExportType.SCAN:
            raise BadCallError(
                f"increments: the snapshot as of {iso(record.as_of)} comes from a scan, which shows no single point in "
                f"time, so that no increment begins or ends there; {_OTHERWISE}"
            )
    by_arn = {increment.export.summary.export_arn: increment for increment in increments}
    exports, _ = chain_increments(chain_base(old), [increment.export for increment in increments])
    first, last = exports[0].summary, exports[-1].summary
    if (first.from_time, last.as_of) != (old.as_of, new.as_of) or new.source.table_id != old.source.table_id:
        raise BadCallError(
            f"increments: expected the changes of table id {old.source.table_id} from {iso(old.as_of)} to "
            f"{iso(new.as_of)}, found those from {iso(first.from_time or old.as_of)} to {iso(last.as_of)}, and a "
            f"snapshot of table id {new.source.table_id}; {_OTHERWISE}"
        )
    for export in exports:
        if export.summary.output_view != _BOTH_IMAGES:
            raise BadCallError(
                f"increments: {export.source} holds new images only, which do not tell what an item was; {_OTHERWISE}, "
                f"or export the window with {_BOTH_IMAGES}",
                source=export.source,
            )
    return [by_arn[export.summary.export_arn] for export in exports]


def _count(staging: LocalStore, compacted: Compacted, take: Take | None) -> Counts:
    counts = Counts()
    for bucket in compacted.buckets:
        before = _items(staging, bucket.before, compacted.key_attributes)
        after = _items(staging, bucket.survivors, compacted.key_attributes)
        for old, new in _side_by_side(before, after):
            if old is None:
                kind = ChangeKind.ADDED
                counts.added += 1
            elif new is None:
                kind = ChangeKind.REMOVED
                counts.removed += 1
            elif not is_same_item(old, new):
                kind = ChangeKind.CHANGED
                counts.changed += 1
            else:
                continue
            if take is not None:
                take(Change(kind, old, new))
    return counts


def _items(staging: LocalStore, file: DataFile | None, key_attributes: Sequence[str]) -> Iterator[_Keyed]:
    """Yield the items of a staged file with their keys, in the order of these."""
    if file is None:
        return
    with igzip.open(staging.root / file.key) as lines:  # type: ignore[no-untyped-call]
        for line in lines:
            item = decode_line(line)
            yield key_bytes(item, key_attributes) or b"", item


def _side_by_side(before: Iterator[_Keyed], after: Iterator[_Keyed]) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield what each key was and is, of items in the order of their keys."""
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            assert old is not None  # noqa: S101 - one of the two is there
            yield old[1], None
            old = next(before, None)
        elif old is None or new[0] < old[0]:
            yield None, new[1]
            new = next(after, None)
        else:
            yield old[1], new[1]
            old, new = next(before, None), next(after, None)
