"""``ddbexport scan`` and ``ddbexport sql``: live tables from a shell."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.cli import columns
from airflow_provider_ddbexport.cli.progress import live_line
from airflow_provider_ddbexport.cli.show import figures, print_json, size_text
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.errors import BadCallError, DdbExportError, SchemaConflictError

if TYPE_CHECKING:  # boto3 costs most of a second, `ddbexport --help` does not need it
    from airflow_provider_ddbexport.core.export import Export
    from airflow_provider_ddbexport.core.scan import Resumption, ScanPage, ScanProgress, ScanRequest
    from airflow_provider_ddbexport.core.store import ObjectStore

_CONNECTIONS = 32
_NOTE = "not a point in time: writes while it ran may or may not be in it"

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_commands(command: Command) -> None:
    """Add both commands to ``ddbexport``."""
    scanning = command("scan", scan, "Back a live table up by a parallel scan, or make a snapshot of it.")
    scanning.add_argument("source", metavar="TABLE", help="name or ARN")
    scanning.add_argument(
        "destination",
        metavar="DESTINATION",
        nargs="?",
        help="folder of backups, or of the lake with --parquet: a path or s3://bucket/prefix",
    )
    _scan_options(scanning)
    scanning.add_argument(
        "--parquet", action="store_true", help="publish a snapshot there, with the options below, and keep no backup"
    )
    columns.add_options(scanning)
    scanning.add_argument("--resume", action="store_true", help="go on with the unfinished scan of this table there")
    scanning.add_argument("--estimate", action="store_true", help="say what it will take, and read nothing")
    scanning.add_argument(
        "--price-per-million", metavar="PRICE", type=_number, help="of read capacity units, for --estimate"
    )

    asking = command("sql", sql, "Answer SQL from live tables; each table it names is scanned once.")
    asking.add_argument("query", metavar="SQL", help="DuckDB's; tables by name, such as: select count(*) from reviews")
    _scan_options(asking)
    asking.add_argument(
        "--schema", choices=("sampled", "exact"), default="sampled", help="columns from a sample or from all items"
    )


def _scan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--segments", metavar="N", type=int, help="default: from the table's size and the budget")
    budget = parser.add_argument_group("read budget (default: half of the provisioned capacity; on demand: none)")
    budget.add_argument("--read-units", metavar="R", type=_number, help="read capacity units a second")
    budget.add_argument("--read-percent", metavar="P", type=_number, help="of the capacity, read again as it changes")
    budget.add_argument("--ceiling-units", metavar="R", type=_number, help="what 100 %% is for a table on demand")
    parser.add_argument("--consistent", action="store_true", help="strongly consistent reads, for twice the capacity")
    parser.add_argument("--filter", metavar="EXPRESSION", help="such as: Rating >= 4 and begins_with(Author, 'A')")
    parser.add_argument("--projection", metavar="PATHS", help="such as: User, Book, Details.Year")
    parser.add_argument("--index", metavar="NAME", help="scan this secondary index")


def scan(args: argparse.Namespace) -> int:
    """``ddbexport scan TABLE DESTINATION``."""
    dynamodb = StoreSettings.of(args).dynamodb(connections=_CONNECTIONS)
    if args.destination is None and not args.estimate:
        raise BadCallError("scan: where to? give a DESTINATION, or --estimate")
    if args.price_per_million is not None and not args.estimate:
        raise BadCallError("--price-per-million is for --estimate: give that, or leave it out")
    if not args.parquet and (given := columns.options_given(args)):
        raise BadCallError(f"{', '.join(given)}: a backup has no columns; give --parquet as well, for a snapshot")
    if args.estimate:
        return _estimate(args, dynamodb)
    return _to_parquet(args, dynamodb) if args.parquet else _to_backup(args, dynamodb)


def _to_backup(args: argparse.Namespace, dynamodb: Any) -> int:
    backup = _back_up(args, dynamodb)
    summary, details = backup.summary, backup.summary.scan
    result = {
        "source": backup.source,
        "export_arn": summary.export_arn,
        "table": summary.table_name,
        "items": summary.item_count,
        "files": len(backup.files),
        "segments": details.segments if details else None,
        "consumed_units": details.consumed_units if details else None,
        "seconds": (summary.ended_at - summary.started_at).total_seconds(),
        "is_point_in_time": False,
    }
    if _as_json(args):
        print_json(result)
        return 0
    figures(
        f"scan backup of {summary.table_name}",
        {
            "source": backup.source,
            "items": f"{summary.item_count:,} in {len(backup.files):,} files",
            "read": f"{result['consumed_units']:,.1f} capacity units, {result['segments']} segments, "
            f"{result['seconds']:,.1f} s",
            "note": _NOTE,
        },
    )
    return 0


def _to_parquet(args: argparse.Namespace, dynamodb: Any) -> int:
    from airflow_provider_ddbexport.core.scan import ReadBudgetOptions, ScanSettings
    from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS, scan_to_parquet
    from airflow_provider_ddbexport.core.snapshot.layout import record_key
    from airflow_provider_ddbexport.core.times import iso

    lake = StoreSettings.of(args).open(args.destination)
    with _watched(args) as watch:
        record = scan_to_parquet(
            dynamodb,
            lake,
            _request(args),
            table=args.table,
            options=columns.column_options(args),
            rows_per_part=args.rows_per_part,
            part_bytes=args.part_bytes,
            segments=args.segments,
            other_table=args.other_table,
            resumption=_resumption(args),
            settings=ScanSettings(
                budget=ReadBudgetOptions(args.read_units, args.read_percent, args.ceiling_units),
                limits=GROUPS,
                on_page=watch.page,
                on_progress=watch.progress,
                on_publish=watch.publishing,
            ),
        )
    details, size = record.source.scan, sum(part.size for part in record.parts)
    address = lake.uri_of(f"{record.table}/{record_key(record.as_of)}")
    result = {
        "table": record.table,
        "as_of": iso(record.as_of),
        "record": address,
        "rows": record.rows,
        "parts": len(record.parts),
        "bytes": size,
        "columns": len(record.schema.columns),
        "rescued": record.rescued,
        "segments": details.segments if details else None,
        "consumed_units": details.consumed_units if details else None,
        "is_point_in_time": False,
    }
    if _as_json(args):
        print_json(result)
        return 0
    figures(
        f"{record.table}: published",
        {
            "as of": f"{result['as_of']}, when the scan began",
            "rows": f"{record.rows:,}",
            "parts": f"{len(record.parts):,}, {size_text(size)}",
            "columns": f"{result['columns']:,}, {sum(record.rescued.values()):,} values kept in _rescued",
            "read": f"{result['consumed_units']:,.1f} capacity units, {result['segments']} segments",
            "record": address,
            "note": _NOTE,
        },
    )
    return 0


def _resumption(args: argparse.Namespace) -> Resumption:
    from airflow_provider_ddbexport.core.scan import Resumption

    return Resumption(f"ddbexport scan {args.source}", policy="require" if args.resume else "restart")


def _back_up(args: argparse.Namespace, dynamodb: Any) -> Export:
    from airflow_provider_ddbexport.core.scan import scan_backup

    request = _request(args)
    store, bucket, prefix = _destination(args)
    with _watched(args) as watch:
        return scan_backup(
            dynamodb,
            store,
            table_name=request.table_name,
            bucket=bucket,
            prefix=prefix,
            segments=args.segments,
            is_consistent=request.is_consistent,
            filter_expression=request.filter_expression,
            projection_expression=request.projection_expression,
            expression_attribute_names=request.names,
            expression_attribute_values=request.values,
            index_name=request.index_name,
            read_units=args.read_units,
            read_percent=args.read_percent,
            ceiling_units=args.ceiling_units,
            resumption=_resumption(args),
            on_page=watch.page,
            on_progress=watch.progress,
        )


def sql(args: argparse.Namespace) -> int:
    """``ddbexport sql "select …"``."""
    from airflow_provider_ddbexport.core.scan.sql import query_tables

    with (
        live_line(wanted=not _as_json(args)) as draw,
        query_tables(
            StoreSettings.of(args).dynamodb(connections=_CONNECTIONS),
            args.query,
            columns=args.projection,
            where=args.filter,
            index_name=args.index,
            is_consistent=args.consistent,
            schema=args.schema,
            segments=args.segments,
            read_units=args.read_units,
            read_percent=args.read_percent,
            ceiling_units=args.ceiling_units,
            on_progress=lambda progress: draw(progress.line()),
        ) as result,
    ):
        names = [column[0] for column in result.description]
        rows = result.fetchall()
    if _as_json(args):
        import json

        names = _distinct(names)
        sys.stdout.write(json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str, indent=2) + "\n")
        return 0
    _show(names, rows)
    return 0


def _distinct(names: Sequence[str]) -> list[str]:
    """Return *names* with ``_2``, ``_3`` … behind those that were there already, as JSON has each key once."""
    taken = set(names)
    distinct: list[str] = []
    for name in names:
        key = name
        if name in distinct:
            key = next(other for number in count(2) if (other := f"{name}_{number}") not in taken)
            taken.add(key)
        distinct.append(key)
    return distinct


def _show(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    Console(file=sys.stdout, width=None if on_terminal else 10_000).print(table)


def _estimate(args: argparse.Namespace, dynamodb: Any) -> int:
    """Tell what reading takes, which is the same for a backup and a snapshot of any columns."""
    from airflow_provider_ddbexport.core.scan import ReadBudgetOptions, estimate_scan

    if args.resume:
        raise BadCallError("--estimate is of a whole scan, and --resume goes on with one: leave one of them out")
    # They have to be such as the scan will take.
    columns.column_options(args)
    estimate = estimate_scan(
        dynamodb,
        _request(args),
        segments=args.segments,
        budget=ReadBudgetOptions(args.read_units, args.read_percent, args.ceiling_units),
        price_per_million_units=args.price_per_million,
    )
    if _as_json(args):
        print_json(asdict(estimate))
        return 0
    facts = {
        "items": f"about {estimate.items:,}",
        "size": f"about {size_text(estimate.size_bytes)}",
        "capacity": f"about {estimate.read_units:,.1f} read units, in {estimate.segments} segments, "
        "for a backup as for a snapshot",
        "time": "no read budget: as fast as it goes"
        if estimate.minutes is None
        else f"about {estimate.minutes:,.1f} minutes at {estimate.budget_rcu:,.1f} units a second",
    }
    if estimate.cost is not None:
        facts["cost"] = f"about {estimate.cost:,.4f} at the given price"
    facts["counted"] = "by DynamoDB, up to six hours ago; a younger table counts as empty"
    figures(f"scan of {estimate.table_name}: estimate", facts)
    return 0


def _request(args: argparse.Namespace) -> ScanRequest:
    from airflow_provider_ddbexport.core.scan import Aliases, ScanRequest

    aliases = Aliases()
    return ScanRequest(
        table_name=args.source,
        index_name=args.index,
        is_consistent=args.consistent,
        filter_expression=None if args.filter is None else aliases.filter(args.filter),
        projection_expression=None if args.projection is None else aliases.projection(args.projection),
        names=aliases.names,
        values=aliases.values,
    )


def _destination(args: argparse.Namespace) -> tuple[ObjectStore, str, str | None]:
    """Return the store, the bucket it is, and the prefix in it."""
    settings = StoreSettings.of(args)
    scheme = "s3://"
    if not args.destination.startswith(scheme):
        return settings.open(args.destination), "local", None
    bucket, _, prefix = args.destination.removeprefix(scheme).partition("/")
    return settings.open(scheme + bucket), bucket, prefix.strip("/") or None


class _Watch:
    """What a scan says of itself while it runs, as the live line shows it."""

    def __init__(self, draw: Callable[[str], None]) -> None:
        self._draw = draw
        self.has_read = False

    def page(self, _: ScanPage) -> None:
        """Note that there is something to go on with."""
        self.has_read = True

    def progress(self, progress: ScanProgress) -> None:
        """Show how far reading is."""
        self._draw(progress.line())

    def publishing(self, done: int, groups: int) -> None:
        """Show how far publishing is."""
        self._draw(f"publishing: {done:,} of {groups:,} groups of pages have their last columns")


@contextlib.contextmanager
def _watched(args: argparse.Namespace) -> Iterator[_Watch]:
    """Show the scan on a terminal. What ends it says how to go on, where something was read."""
    with live_line(wanted=not _as_json(args)) as draw:
        watch = _Watch(draw)
        try:
            yield watch
        except (BadCallError, SchemaConflictError):
            # The same command would meet it again; what else goes on, it says itself.
            raise
        except (DdbExportError, OSError, KeyboardInterrupt) as error:
            if watch.has_read:
                error.add_note("what was read is kept: the same command with --resume goes on with it")
            raise


def _as_json(args: argparse.Namespace) -> bool:
    return bool(getattr(args, "json", False))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return number
