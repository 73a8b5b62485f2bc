"""A query's result as Athena hands it out: rows of text, a CSV object, pages."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_ddbexport.local.athena_ddl import Listing
from airflow_provider_ddbexport.local.athena_values import column_info, printer, text_column_info
from airflow_provider_ddbexport.local.duck import Result
from airflow_provider_ddbexport.local.wire import AwsError

Row = list[str | None]


@dataclass(frozen=True, slots=True)
class ResultSet:
    """What a query printed.

    Attributes:
        columns: ColumnInfo of each column.
        rows: texts; None where the value is null. The first is the header where ``has_header``.
        has_header: true of SELECT, false of SHOW and DESCRIBE.
    """

    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    has_header: bool = False

    @property
    def row_count(self) -> int:
        """Rows without the header."""
        return len(self.rows) - self.has_header

    def body(self) -> bytes:
        """Return the result object: CSV with every value in quotes and null as nothing, or a listing's lines."""
        if not self.has_header:
            return "".join(f"{row[0]}\n" for row in self.rows).encode()
        return "".join(",".join(_csv(value) for value in row) + "\n" for row in self.rows).encode()

    def metadata(self) -> bytes:
        """Return what lies beside the result object. In AWS it is binary and undocumented; here it is JSON."""
        return json.dumps({"ColumnInfo": self.columns}).encode()

    def page(self, query_id: str, token: str | None, limit: int) -> dict[str, Any]:
        """Return GetQueryResults' answer from where *token* left off, *limit* rows at most, the header among them."""
        start = _offset(query_id, token) if token else 0
        rows = self.rows[start : start + limit]
        answer: dict[str, Any] = {
            "UpdateCount": 0,
            "ResultSet": {
                "Rows": [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in rows],
                "ResultSetMetadata": {"ColumnInfo": self.columns},
            },
        }
        if start + limit < len(self.rows):
            answer["NextToken"] = base64.urlsafe_b64encode(f"{query_id}:{start + limit}".encode()).decode()
        return answer


def of_select(result: Result, names: list[str] | None) -> ResultSet:
    """Return the result of a SELECT; without *names* its columns are called ``_col0``, ``_col1``, …"""
    kinds = result.rows.schema.types
    labels = names if names is not None and len(names) == len(kinds) else [f"_col{at}" for at in range(len(kinds))]
    columns, texts = [], []
    for position, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        info = column_info(label, kind)
        columns.append({**info, "Type": "json", "Precision": 0} if position in result.json else info)
        show = printer(kind)
        texts.append([None if value is None else show(value) for value in result.rows.column(position).to_pylist()])
    header: Row = list(labels)
    return ResultSet(columns, [header, *(list(row) for row in zip(*texts, strict=True))], has_header=True)


def of_listing(listing: Listing) -> ResultSet:
    """Return the result of SHOW or DESCRIBE, whose rows are one text each."""
    return ResultSet([text_column_info(name) for name in listing.columns], [[line] for line in listing.lines])


def _csv(value: str | None) -> str:
    return "" if value is None else '"' + value.replace('"', '""') + '"'


def _offset(query_id: str, token: str) -> int:
    try:
        owner, _, offset = base64.urlsafe_b64decode(token).decode().partition(":")
        if owner == query_id:
            return int(offset)
    except ValueError:
        pass
    raise AwsError("InvalidRequestException", "Invalid NextToken", AthenaErrorCode="INVALID_INPUT")
