"""The items of an export's data files."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.export.lines import BlockReader, DataFileReader
from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportType, OutputFormat
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError


def read_items(root: ObjectStore, export: Export, file: DataFile) -> DataFileReader[Item]:
    """Return the items of *file* of a full export or a scan, to be iterated once.

    Nothing it yields is verified before it has ended without an error. Raises BadCallError at once for an incremental
    export (see :func:`.read_changes`), or for an ION export where the extra ``ion`` is not installed; when iterated,
    DataFileError for a file that is missing, cut or otherwise not what the manifest says, and ItemError, with line and
    offset, for a line that is no item.
    """
    _refuse_changes(export)
    return DataFileReader(root, export, file, item_decoder(export.summary.output_format))


def read_lines(root: ObjectStore, export: Export, file: DataFile, take: Callable[[bytes], int]) -> BlockReader:
    """Return what gives the lines of *file* to *take*, in blocks, while it is iterated; otherwise as read_items.

    *take* is one that :mod:`..decoder` gives for the :func:`item_decoder` of the export's format.
    """
    _refuse_changes(export)
    return BlockReader(root, export, file, take)


def _refuse_changes(export: Export) -> None:
    if export.summary.export_type is ExportType.INCREMENTAL:
        raise BadCallError(
            f"{export.source}: an incremental export holds changes, not items; give a full export or a scan",
            uri=export.source,
        )


def item_decoder(output_format: OutputFormat) -> Callable[[bytes], Item]:
    """Return what decodes a line of a full export. Raises BadCallError when ION support is not installed."""
    if output_format is OutputFormat.DYNAMODB_JSON:
        return decode_line
    from airflow_provider_ddbexport.core.export.ion import decode_ion_line, require_ion

    require_ion()
    return decode_ion_line
