"""Whether an export is whole and unharmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_ddbexport.core.export.changes import Change, read_changes
from airflow_provider_ddbexport.core.export.lines import BlockReader, DataFileReader
from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportType
from airflow_provider_ddbexport.core.export.reader import item_decoder, read_lines
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ManifestError

CHECKED_BY_READING = ("data file md5", "data file item counts", "every line", "item count sum")
"""What a whole reading of every data file checks, in words, beyond :attr:`.Export.checked`."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was read and found to be right.

    Attributes:
        items: lines of all data files: items, or changes of an incremental export.
        bytes: compressed bytes of the data files.
        checked: in words, for commit records and people.
    """

    files: int
    items: int
    bytes: int
    checked: tuple[str, ...]


def verify_export(
    root: ObjectStore, export: Export, *, on_file: Callable[[DataFile, int], None] | None = None
) -> Verification:
    """Return figures after reading every data file of *export*, whose manifests read_export has checked.

    *on_file* is called after each file with it and its compressed bytes. The first thing that is wrong raises
    DataFileError, ItemError or ManifestError. Reads only; repeating it is safe.
    """
    items = compressed = 0
    for file in export.files:
        reader = _reader(root, export, file)
        for _ in reader:
            pass
        items += reader.count
        compressed += reader.compressed_bytes
        if on_file is not None:
            on_file(file, reader.compressed_bytes)
    if items != export.summary.item_count:
        raise ManifestError(
            f"{export.source}: the summary expects {export.summary.item_count} items, the data files hold {items}; "
            "the export contradicts itself, start a new one",
            uri=export.source,
        )
    return Verification(
        files=len(export.files), items=items, bytes=compressed, checked=(*export.checked, *CHECKED_BY_READING)
    )


def _reader(root: ObjectStore, export: Export, file: DataFile) -> DataFileReader[Change] | BlockReader:
    if export.summary.export_type is ExportType.INCREMENTAL:
        return read_changes(root, export, file)
    # Not above: it takes pyarrow, which an Airflow DAG with operators for exports does without while it is parsed.
    from airflow_provider_ddbexport.core.decoder import check_lines

    return read_lines(root, export, file, check_lines(item_decoder(export.summary.output_format)))
