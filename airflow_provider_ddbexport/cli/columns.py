"""Options of the commands that write Parquet."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_ddbexport.core.part_size import PART_BYTES, ROWS_PER_PART
from airflow_provider_ddbexport.errors import BadCallError

if TYPE_CHECKING:  # pyarrow costs most of a second, `ddbexport --help` does not need it
    from airflow_provider_ddbexport.core.columns import ColumnOptions

_SIZE_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides the table, the columns and the sizes of parts."""
    parser.add_argument("--table", metavar="NAME", help="folder in the lake (default: from the DynamoDB table's name)")
    columns = parser.add_argument_group("columns")
    columns.add_argument(
        "--numbers",
        metavar="[PATH=]TYPE",
        action="append",
        default=[],
        help="auto, double, string or decimal(p,s); for all numbers, or those of one attribute: price=decimal(10,2)",
    )
    columns.add_argument(
        "--nested", choices=("struct", "flatten", "json"), default="struct", help="what maps become (default struct)"
    )
    columns.add_argument(
        "--partition-by", metavar="ATTR", action="append", default=[], help="attribute that makes folders; repeatable"
    )
    columns.add_argument(
        "--rename", metavar="PATH=COLUMN", action="append", default=[], help="name the column of an attribute"
    )
    parts = parser.add_argument_group("parts")
    parts.add_argument("--rows-per-part", metavar="N", type=positive, default=ROWS_PER_PART, help="default %(default)s")
    parts.add_argument(
        "--part-bytes",
        metavar="SIZE",
        type=_size,
        default=PART_BYTES,
        help=f"such as 64MiB (default {PART_BYTES >> 20}MiB)",
    )
    parser.add_argument(
        "--other-table", action="store_true", help="go on although the snapshots there are of another DynamoDB table"
    )


def options_given(args: argparse.Namespace) -> list[str]:
    """Return those of the options that are not as they are by default."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    by_default = vars(parser.parse_args([]))
    return [f"--{name.replace('_', '-')}" for name, value in by_default.items() if getattr(args, name) != value]


def column_names(args: argparse.Namespace) -> dict[str, str]:
    """Return the names that ``--rename`` gives, by path."""
    return _pairs(args.rename, "--rename PATH=COLUMN")


def column_options(args: argparse.Namespace) -> ColumnOptions:
    """Return the options of the columns."""
    from airflow_provider_ddbexport.core.columns import ColumnOptions

    return ColumnOptions(
        numbers=_numbers(args.numbers),
        nested=args.nested,
        partition_by=tuple(args.partition_by),
        column_names=column_names(args),
    )


def _numbers(given: Sequence[str]) -> str | dict[str, str]:
    """Return ``--numbers`` as ColumnOptions takes it."""
    if not given:
        return "auto"
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    return _pairs([text if "=" in text else f"*={text}" for text in given], "--numbers [PATH=]TYPE")


def _pairs(given: Sequence[str], usage: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        # The last one: names of attributes may hold "=", types and columns do not.
        path, equals, value = text.rpartition("=")
        if not equals or not path or not value:
            raise BadCallError(f"expected {usage}, found {text!r}")
        if path in pairs:
            raise BadCallError(f"{usage}: {path!r} is given twice")
        pairs[path] = value
    return pairs


def positive(text: str) -> int:
    """Return the number that *text* is, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def _size(text: str) -> int:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(digits) :].strip().lower()
    factor = _SIZE_UNITS.get(unit, _SIZE_UNITS.get(unit.removesuffix("b")))
    if not digits.isdecimal() or not int(digits) or factor is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 64MiB, found {text!r}")
    return int(digits) * factor
