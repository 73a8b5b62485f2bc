"""Tables as Arrow record batches, and SQL on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from page_table import PageTable

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, resolve
from airflow_provider_ddbexport.core.scan.expressions import Aliases
from airflow_provider_ddbexport.core.scan.reader import scan_table
from airflow_provider_ddbexport.core.scan.sql import query_tables
from airflow_provider_ddbexport.errors import AccessError, BadCallError, ServiceError, TableNotFoundError
from airflow_provider_ddbexport.local import local_aws

COUNT = 300


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """Reviews: 300 items; Name, Status and Year are reserved words, two names hold dots and spaces; one late type."""
    with local_aws() as aws:
        client = aws.client("dynamodb")
        client.create_table(
            TableName="Reviews",
            AttributeDefinitions=[
                {"AttributeName": "Id", "AttributeType": "N"},
                {"AttributeName": "Name", "AttributeType": "S"},
            ],
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-name",
                    "KeySchema": [{"AttributeName": "Name", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        for start in range(0, COUNT, 25):
            client.batch_write_item(
                RequestItems={
                    "Reviews": [{"PutRequest": {"Item": item(number)}} for number in range(start, start + 25)]
                }
            )
        yield client


def item(number: int) -> dict[str, Any]:
    return {
        "Id": {"N": str(number)},
        "Name": {"S": f"user {number % 7}"},
        "Status": {"N": str(number % 5)} if number != 200 else {"S": "five"},
        "Details": {"M": {"Year": {"N": str(1990 + number % 30)}, "Tags": {"L": [{"S": "a"}, {"S": "b"}]}}},
        "In.Print and": {"BOOL": number % 2 == 0},
    }


@pytest.mark.parametrize("schema", ["sampled", "exact"])
def test_every_item_is_a_row_and_what_does_not_fit_is_rescued(dynamodb: Any, schema: Any) -> None:
    """Once each, with typed columns; the one text among numbers is in _rescued, whatever the sample saw of it."""
    reader = scan_table(dynamodb, "Reviews", schema=schema, sample_items=50, batch_rows=64)
    batches = list(reader)
    table = pa.Table.from_batches(batches)
    assert max(batch.num_rows for batch in batches) <= 64
    assert sorted(table["id"].to_pylist()) == list(range(COUNT))
    assert table.schema.field("status").type == pa.int64()
    rescued = [value for value in table["_rescued"].to_pylist() if value]
    assert rescued == [[("Status", '{"S":"five"}')]]


def test_a_sample_of_large_items_ends_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept until it is read again: 10,000 items may be gigabytes. What was sampled is a row all the same."""
    monkeypatch.setattr("airflow_provider_ddbexport.core.scan.reader._SAMPLE_BYTES", 1_000)
    table = PageTable(3_000, page_items=10)
    reader = scan_table(table, "Reviews", workers=1, segments=1)
    assert table.scanned < 200
    assert sorted(reader.read_all()["id"].to_pylist()) == list(range(3_000))


def test_a_schema_that_is_given_is_kept(dynamodb: Any) -> None:
    """Its columns and no other; the rest of each item is rescued, so that nothing is lost."""
    observation = Observation()
    observation.add({"Id": {"N": "1"}})
    schema = resolve(observation, ColumnOptions(numbers="decimal(10,2)"), None)
    table = scan_table(dynamodb, "Reviews", schema=schema).read_all()
    assert table.column_names == ["id", "_rescued"]
    assert sorted(table["id"].to_pylist())[:2] == [Decimal("0.00"), Decimal("1.00")]
    assert len(table["_rescued"][0].as_py()) == 4


def test_reserved_words_and_any_other_name_can_be_chosen_and_filtered_by(dynamodb: Any) -> None:
    """Attributes called Name, Status, Year or "In.Print and" need no placeholders of the caller's."""
    table = scan_table(
        dynamodb,
        "Reviews",
        columns=["Id, Name", "Details.Year", '"In.Print and"', "Details.Tags[1]"],
        where="""Name = 'user 3' and Details.Year BETWEEN 1990 and 2000 and "In.Print and" = true
              and (Status <> 4 or not attribute_exists(Status)) and size(Details.Tags) >= 2""",
    ).read_all()
    wanted = [
        number
        for number in range(COUNT)
        if number % 7 == 3 and number % 30 <= 10 and number % 2 == 0 and number % 5 != 4
    ]
    assert sorted(table["id"].to_pylist()) == wanted
    assert wanted
    assert set(table.column_names) == {"id", "name", "details", "in_print_and", "_rescued"}


def test_an_index_is_scanned_by_its_name(dynamodb: Any) -> None:
    """With what is projected into it; one that is not there is named, with those that are."""
    table = scan_table(dynamodb, "Reviews", index_name="by-name").read_all()
    assert set(table.column_names) == {"id", "name", "_rescued"}
    assert table.num_rows == COUNT
    with pytest.raises(BadCallError, match="by-name"):
        scan_table(dynamodb, "Reviews", index_name="by-author")


def test_a_reader_that_is_closed_early_ends_its_scan(dynamodb: Any) -> None:
    """No thread goes on reading."""
    before = our_threads()
    reader = scan_table(dynamodb, "Reviews", batch_rows=1, sample_items=1)
    reader.read_next_batch()
    assert our_threads() - before
    reader.close()
    del reader
    assert not our_threads() - before


def our_threads() -> set[threading.Thread]:
    """Return the threads of ours; the server in this process has some of its own, which come and go."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("ddbexport-")}


def test_errors_come_out_of_the_reader(dynamodb: Any) -> None:
    """A missing table at once; a filter that DynamoDB refuses when the first page is asked for."""
    with pytest.raises(TableNotFoundError):
        scan_table(dynamodb, "NoSuchTable")
    with pytest.raises(ServiceError, match="ValidationException"):
        scan_table(dynamodb, "Reviews", where="Name = = 'x'")


@pytest.mark.parametrize(
    ("text", "expression", "names", "values"),
    [
        ("a.b[0].c = 'it''s'", "#n0.#n1[0].#n2 = :v0", ["a", "b", "c"], [{"S": "it's"}]),
        ("size(Name)>=-1.5e3", "size ( #n0 ) >= :v0", ["Name"], [{"N": "-1.5e3"}]),
        ("x in (1, null, true)", "#n0 IN ( :v0 , :v1 , :v2 )", ["x"], [{"N": "1"}, {"NULL": True}, {"BOOL": True}]),
        ('"a ""b"".c" != é', "#n0 <> #n1", ['a "b".c', "é"], []),
        ("#given = :given", "#given = :given", [], []),
        ("size > 3 and size(size) = 1", "#n0 > :v0 AND size ( #n0 ) = :v1", ["size"], [{"N": "3"}, {"N": "1"}]),
        ('"and".or = x', "#n0.#n1 = #n2", ["and", "or", "x"], []),
    ],
)
def test_expressions_are_written_plainly(
    text: str, expression: str, names: list[str], values: list[dict[str, Any]]
) -> None:
    """Every name and literal becomes a placeholder; DynamoDB's own placeholders stay."""
    aliases = Aliases()
    translated = aliases.filter(text)
    assert translated == expression
    assert list(aliases.names.values()) == names
    assert list(aliases.values.values()) == values


@pytest.mark.parametrize("word", ["size", "contains", "and", "OR", "not", "Between", "in", "null", "true", "false"])
def test_every_word_of_a_projection_is_a_name(word: str) -> None:
    """Those of filters, too: there is nothing else that it could mean."""
    aliases = Aliases()
    assert aliases.projection(f"Id, {word}, a.{word}[0]") == "#n0 , #n1 , #n2.#n1[0]"
    assert list(aliases.names.values()) == ["Id", word, "a"]
    assert not aliases.values


def test_what_is_no_expression_is_refused_without_quoting_it() -> None:
    """By the position of its first bad character."""
    with pytest.raises(BadCallError, match="character 8") as caught:
        Aliases().filter("Name = ;walrus")
    assert "walrus" not in str(caught.value)
    with pytest.raises(BadCallError, match="found nothing"):
        Aliases().filter("  ")


def test_sql_is_answered_from_live_tables(dynamodb: Any) -> None:
    """Names in any case; a table may be used more than once; structs and lists are reached."""
    pytest.importorskip("duckdb")
    with query_tables(
        dynamodb,
        "select a.name, count(*) as n, max(a.details.year) from reviews a join REVIEWS b using (id) "
        "group by 1 order by 1 limit 2",
    ) as result:
        rows = result.fetchall()
    assert [row[:2] for row in rows] == [("user 0", 43), ("user 1", 43)]
    with query_tables(dynamodb, "pivot (select name from reviews) on name in ('user 0') using count(*)") as result:
        assert result.fetchall() == [(43,)]
    with query_tables(dynamodb, "pivot (from reviews select name) on name using count(*)") as result:
        assert result.fetchone()[0] == 43


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("selec 1", "the SQL is wrong"),
        ("select nonsense from Reviews", "the SQL is wrong"),
        ("select * from Missing", "there is none; there are: Reviews"),
        ("delete from Reviews", "expected one query, found delete; tables are only read"),
        ("copy Reviews to 'copy.csv'", "found copy"),
        ("select * from Reviews; drop table Reviews", "found select, drop"),
        (" ;", "found nothing"),
    ],
)
def test_wrong_sql_is_a_bad_call(dynamodb: Any, sql: str, problem: str) -> None:
    """That says what is wrong; a table that is not there is told with those that are."""
    pytest.importorskip("duckdb")
    with pytest.raises(BadCallError, match=problem), query_tables(dynamodb, sql):
        pass


def denied(operation: str) -> ClientError:
    answer = {"Error": {"Code": "AccessDeniedException", "Message": f"not allowed: {operation}"}}
    return ClientError(answer, operation)


def test_what_ends_a_scan_in_the_middle_of_a_query_is_told_as_it_is() -> None:
    """Not as an error of DuckDB's, which knows it as a text: nothing is wrong with the SQL's types or casts."""
    pytest.importorskip("duckdb")

    class Revoked(PageTable):
        def scan(self, **request: Any) -> dict[str, Any]:
            if self.scanned >= 6:
                raise denied("Scan")
            return super().scan(**request)

    with (
        pytest.raises(AccessError, match="scanning table Reviews"),
        query_tables(Revoked(60), 'select * from "Reviews"', sample_items=3),
    ):
        pass


def test_a_table_s_exact_name_needs_no_permission_to_list_tables() -> None:
    """Without it only a name in another case cannot be found, and the error says what that takes."""
    pytest.importorskip("duckdb")

    class Unlisted(PageTable):
        def describe_table(self, **request: Any) -> dict[str, Any]:
            if request["TableName"] != "Reviews":
                code = "ResourceNotFoundException" if len(request["TableName"]) > 2 else "ValidationException"
                answer = {"Error": {"Code": code, "Message": "no such table"}}
                raise ClientError(answer, "DescribeTable")
            return super().describe_table(**request)

        def list_tables(self, **_: Any) -> dict[str, Any]:
            raise denied("ListTables")

    with query_tables(Unlisted(7), "select count(*) from Reviews") as result:
        assert result.fetchall() == [(7,)]
    for name in ("reviews", "rv"):
        with pytest.raises(BadCallError, match="dynamodb:ListTables"), query_tables(Unlisted(7), f"from {name}"):
            pass


def test_sql_errors_hold_no_values(dynamodb: Any) -> None:
    """A cast that fails is told without what it failed on."""
    pytest.importorskip("duckdb")
    with (
        pytest.raises(BadCallError, match="could not answer") as caught,
        query_tables(dynamodb, "select cast(name as int) from Reviews") as result,
    ):
        result.fetchall()
    assert "user" not in str(caught.value)
