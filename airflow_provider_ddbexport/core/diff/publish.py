"""Making changes visible as a whole: their parts first, and the record last, on the condition that there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_ddbexport.core.diff import layout
from airflow_provider_ddbexport.core.diff.record import DiffRecord, record_from_json, record_to_json
from airflow_provider_ddbexport.core.snapshot.layout import shown
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    SnapshotDamagedError,
    SnapshotExistsError,
)

_PART = re.compile(r"part-[0-9]{5,}-[0-9a-f]{8}\.parquet")


@dataclass(frozen=True, slots=True)
class DiffPlace:
    """Where the changes between two instants belong.

    Attributes:
        store: the folder of the table's changes.
        old, new: the instants.
        digest: of the diff that is to be there, :attr:`.DiffRecord.digest`.
    """

    store: ObjectStore
    old: datetime
    new: datetime
    digest: str

    @property
    def folder(self) -> str:
        """Folder of the parts."""
        return layout.diff_folder(self.old, self.new)

    @property
    def record_uri(self) -> str:
        """Address of the record."""
        return self.store.uri_of(layout.record_key(self.old, self.new))

    def settled(self, *, replace: bool) -> DiffRecord | None:
        """Return the record if the diff is there already; None if it has to be made.

        What else is there is taken away with *replace*: raises SnapshotExistsError or SnapshotDamagedError without.
        """
        existing = self._read()
        if existing is None:
            return None
        try:
            return self._adopt(existing)
        except (SnapshotExistsError, SnapshotDamagedError):
            if not replace:
                raise
        self.store.delete(layout.record_key(self.old, self.new))
        return None

    def publish(self, record: DiffRecord) -> DiffRecord:
        """Make *record*, whose parts are there, the one of this place, and return it.

        When another run was faster with the same changes, its record is returned; raises SnapshotExistsError when it
        had others, and OutcomeUnknownError when it cannot be told whether the record was written.
        """
        try:
            self.store.create(layout.record_key(self.old, self.new), record_to_json(record))
        except ObjectExistsError:
            winner = self._read()
            if winner is None:
                raise
            return self._adopt(winner)
        self._sweep(record)
        return record

    def _read(self) -> DiffRecord | None:
        try:
            body = self.store.read(layout.record_key(self.old, self.new))
        except ObjectNotFoundError:
            return None
        return record_from_json(body, where=self.record_uri)

    def _adopt(self, existing: DiffRecord) -> DiffRecord:
        """Return *existing* if it is the diff that is to be here."""
        if existing.digest != self.digest:
            raise SnapshotExistsError(
                f"{self.record_uri} tells the changes between snapshots that had other contents, or by another key "
                f"({', '.join(existing.key)}); it was left as it is: use replace (--replace) to put the new one in its "
                "place",
                record=self.record_uri,
            )
        sizes = {info.key: info.size for info in self.store.list(self.folder)}
        missing = [part for part in existing.parts if sizes.get(part.key) != part.size]
        if missing:
            raise SnapshotDamagedError(
                f"{self.record_uri}: {len(missing)} of {len(existing.parts)} parts are missing or of another size, the "
                f"first is {shown(missing[0].key)}; use replace (--replace) to write them again",
                record=self.record_uri,
            )
        self._sweep(existing)
        return existing

    def _sweep(self, record: DiffRecord) -> None:
        """Remove the parts that are not of *record*: of interrupted runs, of what it replaced."""
        own = {part.key for part in record.parts}
        for info in list(self.store.list(self.folder)):
            if info.key not in own and _PART.fullmatch(info.key.rpartition("/")[2]):
                self.store.delete(info.key)
