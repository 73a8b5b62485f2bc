"""``make demo``: a table exported, verified, converted, published, crawled and queried, for three days in a row.

Everything is real but the account: the DAG in ``dags/daily_point_in_time.py`` runs in Airflow against the embedded AWS.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.local import LocalAws, local_aws
from airflow_provider_ddbexport.local.reviews import BUCKET, seed_reviews
from stack import CHECKOUT, airflow_environment, migrate, tail

HOME = CHECKOUT / ".local" / "demo"
DAG_ID = "reviews_daily_snapshot"
DATABASE = "lake"
DAYS = 3
QUESTIONS = {
    "Who wrote the most reviews?": """
        SELECT "user", count(*) AS reviews FROM reviews
        WHERE ddb_export_timestamp = '{latest}' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5""",
    "How many reviews has an author, and how good are they?": """
        SELECT author, count(*) AS reviews, round(avg(rating), 2) AS rating FROM reviews
        WHERE ddb_export_timestamp = '{latest}' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5""",
}

console = Console(highlight=False, soft_wrap=True)


class DemoFailedError(Exception):
    """Something did not do what it promises; the message says what and where to look."""


def main() -> int:
    """Run the demo; the exit status is 1 when anything went wrong."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    try:
        with local_aws() as aws:
            show(aws)
    except DemoFailedError as error:
        console.print(f"\n[bold red]The demo failed:[/] {error}")
        return 1
    console.print(f"\n[bold green]Done[/] in {time.monotonic() - began:.0f} s. Where to go from here:")
    console.print("  make airflow     the same in the Airflow UI, with backfill, scan and consumer DAGs")
    console.print("  make test        lint, types and all tests")
    console.print("  README.md        the DAG in 15 lines; with a real account; what each operator needs")
    return 0


def show(aws: LocalAws) -> None:
    """Run every step against *aws*, and print what it did."""
    # A time can be exported five minutes after it has passed.
    today = (datetime.now(UTC) - timedelta(minutes=10)).replace(hour=0, minute=0, second=0, microsecond=0)
    dates = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    console.print("[bold]1. A DynamoDB table with a month of history[/] (embedded AWS, in this process)")
    seed_reviews(aws, end=today)
    items = aws.client("dynamodb").describe_table(TableName="Reviews")["Table"]["ItemCount"]
    console.print(f"   table Reviews, {items:,} items now, point-in-time recovery on, {aws.endpoint_url}")

    console.print(f"\n[bold]2. Three days of the DAG {DAG_ID}[/] (a minute: Airflow takes its time to start)")
    environment = airflow_environment(HOME, aws.environment(), dags=CHECKOUT / "dags", port=1)
    migrate(environment, HOME / "airflow.log")
    print_tasks(run_dag(environment, dates))
    billed = aws.exports_billed()
    if len(billed) != DAYS:
        raise DemoFailedError(f"{DAYS} exports should have been paid for, {len(billed)} were")

    console.print("\n[bold]3. The ledger[/]  $ ddbexport snapshots " + f"s3://{BUCKET}/lake")
    print_ledger(environment)

    console.print("\n[bold]4. Two questions to Athena[/]")
    for question, sql in QUESTIONS.items():
        ask(aws, question, sql.format(latest=f"{today:%Y%m%dT%H%M%SZ}"))


def run_dag(environment: Mapping[str, str], dates: list[datetime]) -> Iterator[dict[str, Any]]:
    """Yield the report of each task as ``scripts/run_dag.py`` writes it; raises when a run fails."""
    read_end, write_end = os.pipe()
    command = [sys.executable, str(CHECKOUT / "scripts" / "run_dag.py"), DAG_ID, str(write_end), *map(iso, dates)]
    log = HOME / "airflow.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=dict(environment), stdout=out, stderr=out, pass_fds=(write_end,))
    os.close(write_end)
    try:
        with os.fdopen(read_end) as report:
            for line in report:
                yield json.loads(line)
        status = process.wait()
    finally:
        process.kill()
    if status:
        raise DemoFailedError(f"DAG {DAG_ID} did not succeed; {log} ends with:\n{tail(log)}")


def print_tasks(report: Iterator[dict[str, Any]]) -> None:
    """Print one line a task, with what it did."""
    for line in report:
        if "task" not in line:
            continue
        if line["state"] not in {"success", "skipped"}:
            raise DemoFailedError(f"task {line['task']} of {line['logical_date']} is {line['state']}")
        day = line["logical_date"][:10]
        console.print(
            f"   {day}  {line['task']:<28} {line['state']:<8} {line['seconds']:6.1f} s  {told(line['result'])}"
        )


def told(result: Any) -> str:
    """Return the figures of a task's result in words."""
    if not isinstance(result, dict):
        return ""
    figures = {
        "item_count": "item exported",
        "rows": "row",
        "parts": "part",
        "rescued": "value rescued",
        "tables_created": "table created",
        "tables_updated": "table updated",
        "bytes_scanned": "byte scanned",
    }
    return ", ".join(counted(result[key], what) for key, what in figures.items() if isinstance(result.get(key), int))


def counted(number: int, what: str) -> str:
    """Return ``1 row``, ``376 rows``, ``2 values rescued``."""
    noun, _, rest = what.partition(" ")
    return f"{number:,} {noun if number == 1 else noun + 's'} {rest}".rstrip()


def print_ledger(environment: Mapping[str, str]) -> None:
    """Print the ledger as the command line shows it, and check that every day is in it."""
    command = [str(Path(sys.executable).with_name("ddbexport")), "snapshots", f"s3://{BUCKET}/lake"]
    table = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if table.returncode:
        raise DemoFailedError(f"ddbexport snapshots ended with {table.returncode}: {table.stderr}")
    console.print(table.stdout.rstrip())
    listed = subprocess.run([*command, "--json"], env=dict(environment), capture_output=True, text=True, check=True)
    if listed.stdout.count("published_at") != DAYS:
        raise DemoFailedError(f"the ledger should list {DAYS} snapshots: {listed.stdout}")


def ask(aws: LocalAws, question: str, sql: str) -> None:
    """Print Athena's answer to *sql*."""
    athena = aws.client("athena")
    query = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": DATABASE},
        ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/athena/"},
    )["QueryExecutionId"]
    deadline = time.monotonic() + 300
    while (status := athena.get_query_execution(QueryExecutionId=query)["QueryExecution"])["Status"]["State"] in {
        "QUEUED",
        "RUNNING",
    }:
        if time.monotonic() > deadline:
            raise DemoFailedError(f"Athena query {query} did not end within 300 s")
        time.sleep(0.1)
    if status["Status"]["State"] != "SUCCEEDED":
        raise DemoFailedError(f"Athena: {status['Status'].get('StateChangeReason')}")
    header, *rows = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    if not rows:
        raise DemoFailedError(f"Athena found nothing for: {question}")
    table = Table(title=question, title_justify="left", title_style="italic")
    for cell in header["Data"]:
        table.add_column(cell["VarCharValue"])
    for row in rows:
        table.add_row(*(cell.get("VarCharValue", "") for cell in row["Data"]))
    console.print(table)
    console.print(f"   {status['Statistics']['DataScannedInBytes']:,} bytes scanned")


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # An orderly exit has DuckDB's binding list on the terminal whatever objects its threads still hold.
    os._exit(status)
