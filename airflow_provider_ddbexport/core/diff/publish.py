"""Making changes visible as a whole: their parts first, and the record last, on the condition that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_provider_ddbexport.core.diff import layout
from airflow_provider_ddbexport.core.diff.record import DiffRecord, record_from_json, record_to_json
from airflow_provider_ddbexport.core.snapshot.layout import is_part
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.store.keys import shown_key
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    PublishRaceError,
    SnapshotDamagedError,
    SnapshotExistsError,
)


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

    def existing(self) -> DiffRecord | None:
        """Return what is there; None where nothing is. Raises SnapshotDamagedError where it cannot be read."""
        try:
            body = self.store.read(layout.record_key(self.old, self.new))
        except ObjectNotFoundError:
            return None
        return record_from_json(body, where=self.record_uri)

    def is_settled(self, existing: DiffRecord, *, replace: bool) -> bool:
        """Return whether *existing* is the diff that is to be here, and whole.

        Where it is not, *replace* may take it away: raises SnapshotExistsError or SnapshotDamagedError without.
        """
        try:
            self._adopt(existing)
        except (SnapshotExistsError, SnapshotDamagedError):
            if not replace:
                raise
            return False
        return True

    def withdraw(self, replaced: DiffRecord) -> None:
        """Make sure that *replaced* is not there any more; its parts stay until others are. Raises PublishRaceError.

        Call it once what takes its place was compared, and before any of that is written.
        """
        existing = self.existing()
        if existing is not None and existing != replaced:
            raise PublishRaceError(f"{self.record_uri} was written by another run meanwhile; nothing was, run again")
        self.store.delete(layout.record_key(self.old, self.new))

    def publish(self, record: DiffRecord) -> DiffRecord:
        """Make *record*, whose parts are there, the one of this place, and return it.

        When another run was faster with the same changes, its record is returned; raises SnapshotExistsError when it
        had others, PublishRaceError when it removed parts, and OutcomeUnknownError when it cannot be told whether the
        record was written.
        """
        if missing := self._missing(record):
            raise PublishRaceError(
                f"{self.record_uri}: {len(missing)} of {len(record.parts)} parts of this run are gone, another run "
                "removed them; nothing was published, run again"
            )
        try:
            self.store.create(layout.record_key(self.old, self.new), record_to_json(record))
        except ObjectExistsError:
            winner = self.existing()
            if winner is None:
                raise
            return self._adopt(winner)
        self._sweep(record)
        return record

    def _adopt(self, existing: DiffRecord) -> DiffRecord:
        """Return *existing* if it is the diff that is to be here."""
        if existing.digest != self.digest:
            raise SnapshotExistsError(
                f"{self.record_uri} tells the changes between snapshots that had other contents, or by another key "
                f"({', '.join(existing.key)}); it was left as it is: use replace (--replace) to put the new one in its "
                "place",
                record=self.record_uri,
            )
        if missing := self._missing(existing):
            raise SnapshotDamagedError(
                f"{self.record_uri}: {len(missing)} of {len(existing.parts)} parts are missing or of another size, the "
                f"first is {shown_key(missing[0].key)}; use replace (--replace) to write them again",
                record=self.record_uri,
            )
        self._sweep(existing)
        return existing

    def _missing(self, record: DiffRecord) -> list[Part]:
        """Return those parts of *record* that are not there, or are there with another size."""
        sizes = {info.key: info.size for info in self.store.list(self.folder)}
        return [part for part in record.parts if sizes.get(part.key) != part.size]

    def _sweep(self, record: DiffRecord) -> None:
        """Remove the parts that are not of *record*: of interrupted runs, of what it replaced.

        Looks before each that it still is the one that is there, because a run that replaces it may be writing now.
        """
        own = {part.key for part in record.parts}
        for info in list(self.store.list(self.folder)):
            if info.key not in own and is_part(info.key):
                if self.existing() != record:
                    return
                self.store.delete(info.key)
