"""A table as Arrow record batches, for DuckDB, Polars, pandas and Spark."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Literal

import pyarrow as pa
from isal import igzip

from airflow_provider_ddbexport.core.columns import ColumnOptions, Schema, part_schema, resolve
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import block_builder, line_observer
from airflow_provider_ddbexport.core.line_blocks import UNTIL_MENDED, RefusedLineError, UndecodedLineError
from airflow_provider_ddbexport.core.scan.expressions import Aliases
from airflow_provider_ddbexport.core.scan.pacing import Pacer
from airflow_provider_ddbexport.core.scan.page_source import page_source, usable_workers
from airflow_provider_ddbexport.core.scan.plan import choose_segments, require_possible
from airflow_provider_ddbexport.core.scan.progress import Meter, ScanProgress
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.shard import WORKERS
from airflow_provider_ddbexport.core.scan.stream import PageStream
from airflow_provider_ddbexport.core.scan.table import describe_table, read_rate
from airflow_provider_ddbexport.core.store.retry import RetryPolicy
from airflow_provider_ddbexport.errors import BadCallError, DecoderError, ItemError

SAMPLE_ITEMS = 10_000
BATCH_ROWS = 10_000
_SAMPLE_BYTES = 32 << 20
_BATCH_BYTES = 64 << 20
_BLOCK_BYTES = 4 << 20


def scan_table(
    dynamodb: Any,
    table_name: str,
    *,
    columns: str | Iterable[str] | None = None,
    where: str | None = None,
    index_name: str | None = None,
    is_consistent: bool = False,
    schema: Schema | Literal["sampled", "exact"] = "sampled",
    options: ColumnOptions | None = None,
    sample_items: int = SAMPLE_ITEMS,
    batch_rows: int = BATCH_ROWS,
    segments: int | None = None,
    workers: int = WORKERS,
    read_units: float | None = None,
    read_percent: float | None = None,
    ceiling_units: float | None = None,
    retries: RetryPolicy | None = None,
    on_progress: Callable[[ScanProgress], None] | None = None,
) -> pa.RecordBatchReader:
    """Return a reader of all items of the table, in no order, as batches of at most *batch_rows* rows.

    *columns* are attributes and paths (``Name, Details.Year``), *where* is a filter; both as
    :mod:`.expressions` reads them, any name works. The schema follows from the first *sample_items* items, or as many
    as 32 MB hold, whichever those are; ``exact`` reads all of them first, once, into a temporary file on the local
    disk. A value that fits none of its columns is in ``_rescued``: nothing is lost, whatever the sample missed. It is
    no point in time: writes while it runs may or may not be in it.

    It costs read capacity, within the budget of :func:`.table.read_rate`: for the sample, or with ``exact`` for
    everything, in this call, and for the rest while batches are read, a little ahead of them. Progress is logged every
    30 s, and told to *on_progress* twice a second from the thread that reads the batches. Closing the reader, or
    letting go of it, ends the scan. Raises as :func:`.scan_backup` does, at once or while it is read.
    """
    options = options or ColumnOptions()
    if options.partition_by:
        raise BadCallError("partition_by: record batches are in no folders; leave it out")
    if isinstance(schema, str) and schema not in ("sampled", "exact"):
        raise BadCallError(f"schema: expected sampled, exact or a Schema, found {schema!r}")
    require_possible(segments, 1)
    aliases = Aliases()
    request = ScanRequest(
        table_name=table_name,
        index_name=index_name,
        is_consistent=is_consistent,
        projection_expression=None if columns is None else aliases.projection(columns),
        filter_expression=None if where is None else aliases.filter(where),
        names=aliases.names,
        values=aliases.values,
    )
    table = describe_table(dynamodb, table_name, index_name)
    rate = read_rate(
        dynamodb,
        table_name,
        index_name,
        read_units=read_units,
        read_percent=read_percent,
        ceiling_units=ceiling_units,
    )
    stop = threading.Event()
    retries = retries or RetryPolicy()
    pacer = Pacer(page_source(dynamodb), rate, is_consistent=is_consistent, retries=retries, stop=stop)
    count = choose_segments(table, segments, rate(), 1)
    meter = Meter(
        pacer,
        segments=count,
        segments_done=0,
        expected_units=table.size_bytes / 4096 * (1.0 if is_consistent else 0.5) or None,
        on_page=None,
        on_progress=on_progress,
        clock=retries.clock,
    )
    pages = PageStream(
        pacer, request.parameters(count), count, meter=meter, workers=usable_workers(dynamodb, workers), stop=stop
    ).pages()
    try:
        if isinstance(schema, Schema):
            return _reader(pages, schema, batch_rows, table.name)
        if schema == "exact":
            return _exact(pages, options, batch_rows, table.name)
        return _sampled(pages, options, sample_items, batch_rows, table.name)
    except BaseException:
        pages.close()
        raise


def _sampled(
    pages: Generator[bytes, None, None], options: ColumnOptions, sample_items: int, batch_rows: int, table_name: str
) -> pa.RecordBatchReader:
    observer = line_observer(decode_line)
    seen: deque[bytes] = deque()
    items = size = 0
    for page in pages:
        seen.append(page)
        size += len(page)
        with _refused_items(table_name):
            items += observer.take(page)
        if items >= sample_items or size >= _SAMPLE_BYTES:
            break
    return _reader(_again(seen, pages), resolve(observer.observation(), options, None), batch_rows, table_name)


def _again(seen: deque[bytes], pages: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Yield what was *seen*, which is let go of meanwhile, and then the rest of *pages*."""
    with contextlib.closing(pages):
        while seen:
            yield seen.popleft()
        yield from pages


def _exact(
    pages: Generator[bytes, None, None], options: ColumnOptions, batch_rows: int, table_name: str
) -> pa.RecordBatchReader:
    observer = line_observer(decode_line)
    spool = tempfile.TemporaryFile(prefix="ddbexport-")  # noqa: SIM115 - the reader closes it
    try:
        with igzip.IGzipFile(fileobj=spool, mode="wb", compresslevel=1) as zipped:  # type: ignore[no-untyped-call]
            for page in pages:
                zipped.write(page)  # type: ignore[no-untyped-call]
                with _refused_items(table_name):
                    observer.take(page)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise

    def again() -> Generator[bytes, None, None]:
        with spool, igzip.IGzipFile(fileobj=spool, mode="rb") as lines:  # type: ignore[no-untyped-call]
            while block := lines.read(_BLOCK_BYTES):
                yield block + lines.readline()  # type: ignore[no-untyped-call]

    return _reader(again(), resolve(observer.observation(), options, None), batch_rows, table_name)


def _reader(
    pages: Generator[bytes, None, None],
    schema: Schema,
    batch_rows: int,
    table_name: str,
) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        builder = block_builder(decode_line, schema)
        with contextlib.closing(pages):
            for page in pages:
                start = 0
                while start < len(page):
                    with _refused_items(table_name):
                        start = builder.add_lines(page, start, most_rows=batch_rows, most_bytes=_BATCH_BYTES)
                    if builder.rows >= batch_rows or builder.bytes >= _BATCH_BYTES:
                        yield builder.finish()
            if builder.rows:
                yield builder.finish()

    return pa.RecordBatchReader.from_batches(part_schema(schema), batches())


@contextlib.contextmanager
def _refused_items(table_name: str) -> Iterator[None]:
    """Raise ItemError for a line that is no item, and DecoderError for one that the compiled decoder cannot take."""
    try:
        yield
    except UndecodedLineError as error:
        raise DecoderError(
            f"scanning table {table_name}, an item: {error.reason}; {UNTIL_MENDED}", reason=error.reason
        ) from None
    except RefusedLineError as error:
        raise ItemError(
            f"scanning table {table_name}: expected items, found one that is none: {error.reason}; scan again, and "
            "where it comes again, report it as a mistake of this package",
            reason=error.reason,
        ) from None
