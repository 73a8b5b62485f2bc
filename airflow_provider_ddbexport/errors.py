"""Every error this package raises on purpose.

::

    DdbExportError
    ├── BadCallError                  the call is wrong: fix the arguments (exit status 2)
    │   ├── InvalidTimeError              not a time, or a time without a meaning here
    │   ├── ColumnNameConflictError       two attributes would become one column
    │   └── ScanResumeError               an unfinished scan cannot go on with these arguments
    ├── BadDataError                  what was read is wrong: get it anew (exit status 1)
    │   ├── ManifestError                 missing, truncated, unknown version, a key outside the export
    │   ├── DataFileError                 missing, wrong md5, cut, wrong count
    │   │   └── ItemError                 a line that is no item; has a line number and a byte offset
    │   ├── SnapshotDamagedError          a published part is not what its commit record says
    │   ├── ExportChainError              exports that do not follow each other; context has ``state``
    │   └── MergeConflictError            increments tell of other items than the snapshot has
    ├── DecoderError                  the compiled decoder cannot take an item; the reference decoder may
    ├── ServiceError                  AWS said no
    │   ├── TableNotFoundError
    │   ├── PointInTimeRecoveryError      PITR is off for the table
    │   ├── RestorableWindowError         the time is outside of what PITR can still (or already) export
    │   ├── AccessError                   credentials or permissions
    │   ├── ExportConflictError           the ClientToken belongs to an export with other parameters
    │   ├── ExportFailedError             the export itself failed; has FailureCode and FailureMessage
    │   ├── CrawlFailedError
    │   ├── QueryFailedError
    │   └── ThrottledError                throttled up to the deadline
    ├── ExportLedgerError             an entry of the export ledger cannot be read; nothing was asked for
    ├── StorageError                  reading or writing objects
    │   ├── ObjectNotFoundError
    │   ├── ObjectExistsError             a conditional create lost
    │   ├── StoreNotWritableError
    │   └── StorageDeadlineError          retried up to the deadline
    ├── SnapshotError                 publishing
    │   ├── SnapshotExistsError           published already with other contents
    │   ├── SnapshotNotFoundError
    │   ├── SchemaConflictError           an option contradicts a column the table already has
    │   ├── PublishRaceError              another run was faster; nothing was published, run again
    │   └── OutcomeUnknownError           it may or may not have happened; nothing was cleaned up
    ├── DeadlineError                 a wait ended at the deadline its caller set
    ├── ConversionStoppedError        a conversion or a merge was asked to stop; the next try goes on with it
    ├── ScanStoppedError              a scan was asked to stop, or another run took it over; it can be resumed
    └── CheckFailedError              a snapshot did not pass its checks; has the list of failures

A message says what, where, what was expected and found, and what to do next. It never holds an item's values, a key
or a credential. All of them pickle, with their context.
"""

from __future__ import annotations

from typing import Any


class DdbExportError(Exception):
    """Base of the tree.

    ``message`` is a whole sentence for people; ``context`` are the facts in it, for programs, readable as attributes
    (``error.context["key"]``). Context holds text and numbers only, so that errors cross processes.
    """

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.context: dict[str, Any] = context

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.context)


def _rebuild(cls: type[DdbExportError], message: str, context: dict[str, Any]) -> DdbExportError:
    return cls(message, **context)


class BadCallError(DdbExportError):
    """The call is wrong; repeating it cannot help."""


class InvalidTimeError(BadCallError):
    """Not a time, or a time that has no meaning here."""


class ColumnNameConflictError(BadCallError):
    """Two attributes would become one column; name one of them with ``column_names=``."""


class ScanResumeError(BadCallError):
    """An unfinished scan was started otherwise than it is asked to go on; context has ``differences``, sentences."""


class BadDataError(DdbExportError):
    """What was read is damaged or not what it claims to be."""


class ManifestError(BadDataError):
    """A manifest is missing, truncated, of an unknown version, or names a key outside its export.

    Context has ``damage``, ``md5`` or ``counts``, where the export cannot be read by any other call, nor later; and
    ``doubt``, ``missing`` or ``md5``, where it may be: once it is complete, or by one that accepts an edited summary.
    """


class DataFileError(BadDataError):
    """A data file is missing, or differs from its manifest entry in md5, length or item count."""


class ItemError(DataFileError):
    """A line of a data file is no item; context has ``line`` (1-based) and ``offset`` (bytes, uncompressed)."""


class SnapshotDamagedError(BadDataError):
    """A published part is missing or differs from its commit record."""


class ExportChainError(BadDataError):
    """A full export and increments do not follow each other; context has ``state`` and, where it has any, times."""


class MergeConflictError(BadDataError):
    """Increments tell of other items than the snapshot has that they are merged into; context counts ``items``."""


class DecoderError(DdbExportError):
    """The compiled decoder cannot take a line, and it is not the line that is wrong; context as ItemError has it."""


class ServiceError(DdbExportError):
    """An AWS service refused or failed; context has ``code``, the service's own error code, where there is one."""


class TableNotFoundError(ServiceError):
    """There is no such DynamoDB table."""


class PointInTimeRecoveryError(ServiceError):
    """Point-in-time recovery is off for the table."""


class RestorableWindowError(ServiceError):
    """The time is outside the restorable window; context has ``earliest`` and ``latest`` as ISO 8601 text."""


class AccessError(ServiceError):
    """Access denied, or no usable credentials."""


class ExportConflictError(ServiceError):
    """The ClientToken was used for an export with other parameters."""


class ExportFailedError(ServiceError):
    """The export ended as FAILED; context has ``code``, ``failure_message`` and ``export_arn``."""


class CrawlFailedError(ServiceError):
    """The crawl ended as FAILED or CANCELLED."""


class QueryFailedError(ServiceError):
    """The query ended as FAILED or CANCELLED."""


class ThrottledError(ServiceError):
    """The service throttled every try up to the deadline."""


class ExportLedgerError(DdbExportError):
    """An entry of the export ledger is damaged or of a later format; nothing was asked for."""


class StorageError(DdbExportError):
    """Reading or writing an object failed for good."""


class ObjectNotFoundError(StorageError):
    """There is no such object, folder or bucket."""


class ObjectExistsError(StorageError):
    """A conditional create found the object there already."""


class StoreNotWritableError(StorageError):
    """The store refuses writes."""


class StorageDeadlineError(StorageError):
    """Every try failed up to the deadline."""


class SnapshotError(DdbExportError):
    """A snapshot could not be published, replaced or found."""


class SnapshotExistsError(SnapshotError):
    """A snapshot with other contents is published for this time already."""


class SnapshotNotFoundError(SnapshotError):
    """There is no published snapshot for this time."""


class SchemaConflictError(SnapshotError):
    """An option asks for a type that a column of this table cannot take any more."""


class PublishRaceError(SnapshotError):
    """Another run changed the table's columns or removed parts meanwhile; nothing was published."""


class OutcomeUnknownError(SnapshotError):
    """The last step may or may not have happened. Nothing was cleaned up; run again to find out."""


class DeadlineError(DdbExportError):
    """A wait ended at the deadline its caller had set; what was waited for goes on."""


class ConversionStoppedError(DdbExportError):
    """A conversion or a merge was asked to stop; shards that were done are kept, and the next try goes on with it."""


class ScanStoppedError(DdbExportError):
    """A scan ended before its end because it was asked to, or because another run had taken it over."""


class CheckFailedError(DdbExportError):
    """A snapshot did not pass; context has ``failures``, a list of sentences."""
