"""What a look at the beginnings of a few files says about all of them."""

from __future__ import annotations

from airflow_provider_ddbexport.core.columns import Observation
from airflow_provider_ddbexport.core.decoder import line_observer
from airflow_provider_ddbexport.core.export.lines import first_lines
from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.export.reader import item_decoder
from airflow_provider_ddbexport.core.line_blocks import RefusedLineError
from airflow_provider_ddbexport.core.snapshot.ahead import asked_ahead
from airflow_provider_ddbexport.core.snapshot.plan import by_contents
from airflow_provider_ddbexport.core.store.local import LocalStore
from airflow_provider_ddbexport.core.store.port import ObjectStore

FILES = 16
FILE_BYTES = 1 << 18
"""Unzipped bytes of each file."""


def sample_export(root: ObjectStore, export: Export) -> Observation:
    """Return what the first items of up to :data:`FILES` files spread over *export* hold.

    The same data files give the same sample. Nothing is verified, and what cannot be read is left out: whoever reads
    the whole file says what is wrong with it.
    """
    files = by_contents(export.files)
    observer = line_observer(item_decoder(export.summary.output_format))
    step = max(1, len(files) / FILES)
    chosen = [files[int(number * step)] for number in range(min(FILES, len(files)))]
    # Local files answer sooner than threads begin, which take as much processor time again.
    ask = map if isinstance(root, LocalStore) else asked_ahead
    for lines in ask(lambda file: first_lines(root, file, FILE_BYTES), chosen):
        try:
            observer.take(lines)
        except RefusedLineError:
            continue
    return observer.observation()


def file_sizes(root: ObjectStore, export: Export) -> dict[str, int]:
    """Return the compressed bytes of the data files by key, without those that are missing."""
    keys = {file.key for file in export.files}
    folders = {key.rpartition("/")[0] for key in keys}
    return {info.key: info.size for folder in sorted(folders) for info in root.list(folder) if info.key in keys}
