"""The ledger of a table: which snapshots are published, and which columns the table has."""

from __future__ import annotations

import json
from datetime import datetime

from airflow_provider_ddbexport.core.columns import schema_from_json, schema_to_json
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.snapshot.record_json import record_from_json, record_to_json
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ObjectNotFoundError, SnapshotDamagedError


class Ledger:
    """The commit records and the chain of schemas in *table_store*, the folder of one table.

    Holds nothing in memory: every call reads the store anew, so that it sees what other runs did meanwhile.
    """

    def __init__(self, table_store: ObjectStore) -> None:
        self._store = table_store

    def records(self) -> tuple[CommitRecord, ...]:
        """Return every published snapshot, oldest as_of first.

        Raises SnapshotDamagedError for a record that cannot be read.
        """
        found = (self.get(as_of) for as_of in self.times())
        return tuple(record for record in found if record is not None)

    def times(self) -> tuple[datetime, ...]:
        """Return the instants of all published snapshots in order; costs a listing and reads no record."""
        keys = (layout.as_of_in(info.key) for info in self._store.list(layout.RECORDS_FOLDER))
        return tuple(sorted(as_of for as_of in keys if as_of is not None))

    def get(self, as_of: datetime) -> CommitRecord | None:
        """Return the snapshot published for exactly *as_of*; None where there is none."""
        key = layout.record_key(as_of)
        try:
            body = self._store.read(key)
        except ObjectNotFoundError:
            return None
        return record_from_json(body, where=self._store.uri_of(key))

    def latest(self) -> CommitRecord | None:
        """Return the published snapshot with the newest as_of; None where nothing is published."""
        for as_of in reversed(self.times()):
            record = self.get(as_of)
            if record is not None:
                return record
        return None

    def previous(self, as_of: datetime) -> CommitRecord | None:
        """Return the newest snapshot published for a time before *as_of*; None where there is none."""
        for earlier in reversed(self.times()):
            record = self.get(earlier) if earlier < as_of else None
            if record is not None:
                return record
        return None

    def table_schema(self) -> Schema | None:
        """Return the table's columns, which cover every published snapshot; None before the first."""
        return self.newest_schema()[1]

    def newest_schema(self) -> tuple[int, Schema | None]:
        """Return the number and the schema of the newest link of the chain; (0, None) before the first."""
        numbers = (layout.schema_number_in(info.key) for info in self._store.list(layout.SCHEMAS_FOLDER))
        newest = max((number for number in numbers if number is not None), default=0)
        if not newest:
            return 0, None
        key = layout.schema_key(newest)
        body = self._store.read(key)
        try:
            return newest, schema_from_json(json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotDamagedError(
                f"{self._store.uri_of(key)}: expected the columns of a table, found something else "
                f"({type(error).__name__}); put the object back as it was, nothing can be published without it",
                key=key,
            ) from None

    def append_schema(self, number: int, schema: Schema) -> None:
        """Make *schema* link *number* of the chain, which nobody may have made before.

        The same schema there already is fine. Raises ObjectExistsError when another one is.
        """
        body = json.dumps(schema_to_json(schema), ensure_ascii=False, indent=1, sort_keys=True)
        self._store.create(layout.schema_key(number), body.encode())

    def create(self, record: CommitRecord) -> None:
        """Publish *record*: from here on its snapshot is visible.

        Raises ObjectExistsError when a snapshot of that time is published already, OutcomeUnknownError when it cannot
        be told whether this one is.
        """
        self._store.create(layout.record_key(record.as_of), record_to_json(record))

    def delete(self, as_of: datetime) -> None:
        """Make sure that no snapshot is published for *as_of*; its parts stay where they are."""
        self._store.delete(layout.record_key(as_of))
