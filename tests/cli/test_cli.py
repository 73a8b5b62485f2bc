"""``ddbexport`` from a shell."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshot_exports import AS_OF, in_order, reviews, write_export

import airflow_provider_ddbexport
from airflow_provider_ddbexport.cli import BAD_CALL, BAD_DATA, FINE, INTERRUPTED, main
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.core.catalog import register_snapshot
from airflow_provider_ddbexport.core.decoder import describe
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import S3Store
from airflow_provider_ddbexport.local import LocalAws

COMMAND = [sys.executable, "-c", "import sys; from airflow_provider_ddbexport.cli import main; sys.exit(main())"]


@dataclass
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, which is one JSON document."""
        return json.loads(self.out)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items it printed."""
        return [json.loads(line)["Item"] for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capfd.readouterr())

    return run


@pytest.fixture
def source(tmp_path: Path) -> str:
    """The folder of an export of 30 reviews."""
    _, export = write_export(tmp_path, reviews(30))
    return export.source


def test_an_export_becomes_a_snapshot_that_can_be_listed_and_read(run: Run, source: str, tmp_path: Path) -> None:
    """verify, convert, snapshots, items: each ends with 0 and says nothing on standard error."""
    lake = tmp_path / "lake"
    verified = run("verify", source)
    assert (verified.status, verified.err) == (FINE, "")
    assert "full export of Reviews: whole and unharmed" in verified.out
    converted = run("convert", source, lake)
    assert (converted.status, converted.err) == (FINE, "")
    assert "reviews: published\n" in converted.out
    assert "2 values kept in _rescued: Nothing 2" not in converted.out
    assert "Rating 3" in converted.out
    listed = run("snapshots", lake)
    header = "table as of rows parts size rescued source published"
    assert " ".join(listed.out.splitlines()[0].split()) == header
    assert re.match(r"reviews +2026-01-14T10:18:50Z +30 +1 ", listed.out.splitlines()[1])
    restored = run("items", lake, "--table", "reviews")
    assert (restored.status, restored.err) == (FINE, "")
    assert in_order(restored.items) == in_order(reviews(30))
    again = run("convert", source, lake)
    assert again.status == FINE
    assert "published already, with the same contents; nothing was done" in again.out


def test_both_exports_made_by_aws_go_through_every_command(run: Run, real_exports: Path, tmp_path: Path) -> None:
    """verify and convert work on both full exports, and items gives back exactly the items, whatever the options."""
    choices = (
        [],
        ["--nested", "json", "--numbers", "string"],
        ["--nested", "flatten", "--numbers", "double", "--partition-by", "pk"],
        ["--numbers", "sk=decimal(38,9)", "--numbers", "auto", "--rename", "pk=key", "--rows-per-part", "1"],
    )
    folders = [
        summary.parent
        for summary in real_exports.rglob("manifest-summary.json")
        if "exportFromTime" not in summary.read_text()
    ]
    assert len(folders) == 2
    for folder in folders:
        lines = [line for file in folder.glob("data/*.gz") for line in gzip.decompress(file.read_bytes()).splitlines()]
        accept = ["--accept-edited-summary"] if run("verify", folder).status == BAD_DATA else []
        verified = run("verify", folder, "--json", *accept).json
        assert verified["items"] == len(lines) == 3
        assert any("accepted" in check for check in verified["checked"]) == bool(accept)
        # They are of two tables.
        also = [*accept, "--other-table"]
        for number, options in enumerate(choices):
            lake = tmp_path / f"lake {number}"
            assert run("convert", f"{folder}/", lake, "--table", "made_by_aws", *also, *options).status == FINE
            restored = run("items", lake, "--table", "made_by_aws", "--at", verified["as_of"])
            assert in_order(restored.items) == in_order(json.loads(line)["Item"] for line in lines)


def test_a_manifest_edited_after_the_export_is_refused(run: Run, real_exports: Path) -> None:
    """One export made by AWS was edited before it was made public; it is bad data, and the error names the file."""
    (folder,) = (real_exports / "full-and-incremental-2026" / "AWSDynamoDB").glob("01768385930622-*")
    refused = run("verify", folder)
    assert (refused.status, refused.out) == (BAD_DATA, "")
    assert "manifest-summary.json: md5 expected" in refused.err


def test_machines_get_json(run: Run, source: str, tmp_path: Path) -> None:
    """--json before or after the command: results are one JSON document on standard output."""
    lake = tmp_path / "lake"
    assert run("--json", "verify", source).json["checked"]
    published = run("convert", "--json", source, lake).json
    assert (published["outcome"], published["rows"], published["table"]) == ("published", 30, "reviews")
    assert published["rescued"] == {"Nothing": 2, "Rating": 3}
    assert Path(published["record"]).is_file()
    assert run("convert", source, lake, "--json").json == {**published, "outcome": "unchanged"}
    (row,) = run("snapshots", lake, "--json").json
    assert (row["rows"], row["rescued"], row["source"]) == (30, 5, source)
    assert run("snapshots", tmp_path / "empty", "--json").json == []


def test_errors_are_one_line_and_json_where_asked(run: Run, source: str, tmp_path: Path) -> None:
    """No traceback; type, message and context for machines."""
    wrong = run("verify", tmp_path)
    assert wrong.status == BAD_CALL
    assert wrong.out == ""
    assert wrong.err.startswith("ddbexport: ")
    assert wrong.err.count("\n") == 1
    error = json.loads(run("verify", tmp_path, "--json").err)["error"]
    assert error["type"] == "BadCallError"
    assert "AWSDynamoDB" in error["message"]
    run("convert", source, tmp_path / "lake")
    error = json.loads(run("items", tmp_path / "lake", "--table", "other", "--json").err)["error"]
    assert (error["type"], error["context"]) == ("SnapshotNotFoundError", {"table": "other"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which command?"),
        (["convert"], "the following arguments are required: SOURCE, LAKE"),
        (["frobnicate"], "invalid choice"),
        (["verify", "x", "--nonsense"], "--nonsense"),
        (["convert", "SOURCE", "LAKE", "--workers", "0"], "expected a whole number from 1"),
        (["convert", "SOURCE", "LAKE", "--part-bytes", "many"], "expected a size such as 64MiB"),
        (["convert", "SOURCE", "LAKE", "--part-bytes", "0"], "expected a size such as 64MiB"),
        (["convert", "SOURCE", "LAKE", "--numbers", "float"], "auto, double, string or decimal"),
        (["convert", "SOURCE", "LAKE", "--numbers", "a=double", "--numbers", "a=auto"], "given twice"),
        (["convert", "SOURCE", "LAKE", "--rename", "User"], "--rename PATH=COLUMN"),
        (["convert", "SOURCE", "LAKE", "--rename", "User=Who"], "column"),
        (["convert", "SOURCE", "LAKE", "--table", "My-Table"], "'my_table' would do"),
        (["convert", "SOURCE", "LAKE", "--partition-by", "Details"], "partition"),
        (["items", "LAKE", "--table", "reviews", "--at", "yesterday"], "ISO 8601"),
        (["items", "LAKE"], "--table"),
        (["items", "LAKE", "--table", "../x"], "lower-case"),
        (["snapshots", "gs://bucket"], "local path or s3://"),
        (["convert", "SOURCE", "s3:/bucket/lake"], "local path or s3://"),
        (["convert", "SOURCE", "LAKE", "more"], "unrecognized arguments: more"),
        (["verify", "s3://bucket/AWSDynamoDB/01768385930622-efd1a093", "--profile", "no such profile"], "--profile"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_what_is_wrong(
    run: Run, source: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Nothing is written, and the line says how to call it."""
    places = {"SOURCE": source, "LAKE": str(tmp_path / "lake")}
    wrong = run(*(places.get(argument, argument) for argument in arguments))
    assert wrong.status == BAD_CALL
    assert message in wrong.err
    assert wrong.err.count("\n") == 1
    assert not (tmp_path / "lake").exists()


def test_bad_data_ends_with_1(run: Run, source: str, tmp_path: Path) -> None:
    """A flipped bit is found by verify and by convert; nothing is published."""
    path = next(path for path in sorted(Path(source).glob("data/*.gz")))
    body = bytearray(path.read_bytes())
    body[-20] ^= 1
    path.write_bytes(body)
    for command in (("verify", source), ("convert", source, tmp_path / "lake")):
        bad = run(*command)
        assert bad.status == BAD_DATA
        assert "md5 expected" in bad.err
        assert path.name in bad.err
    assert "no snapshot is published" in run("snapshots", tmp_path / "lake").out


def test_an_existing_snapshot_is_kept_unless_replace_is_given(run: Run, source: str, tmp_path: Path) -> None:
    """Other options for the same time: refused with 1 and the name of the option, done with --replace."""
    lake = tmp_path / "lake"
    assert run("convert", source, lake).status == FINE
    refused = run("convert", source, lake, "--part-bytes", "64 MiB")
    assert refused.status == BAD_DATA
    assert "other options (part_bytes)" in refused.err
    assert "--replace" in refused.err
    assert run("convert", source, lake, "--part-bytes", "64MiB", "--replace").status == FINE


def test_a_name_of_an_attribute_writes_no_line_of_its_own(run: Run, tmp_path: Path) -> None:
    """Whoever writes items chooses it."""
    forged = "a\x1b[31m\nddbexport: all is well"
    _, export = write_export(tmp_path, [{"User": {"S": f"u{at}"}, forged: {"N": "1"}} for at in range(3)])
    _, other = write_export(tmp_path / "other", [{"User": {"S": "u"}, forged: {"S": "x"}}], as_of=AS_OF + timedelta(1))
    for source in (export.source, other.source):
        out = run("convert", source, tmp_path / "lake").out
    assert "1 values kept in _rescued: a\\u001b[31m\\u000addbexport: all is well 1\n" in out
    assert "\x1b" not in out


def test_what_is_replaced_is_unregistered_where_the_shell_is_told(
    run: Run, source: str, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first new part is written; a lake that no catalog can point at, and what is no name, are refused."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    local_aws.client("s3").create_bucket(Bucket="lakes")
    lake, glue = "s3://lakes/lake", local_aws.client("glue")
    assert run("convert", source, lake).status == FINE
    store = StoreSettings().open(lake)
    (record,) = Ledger(store.child("reviews")).records()
    register_snapshot(glue, record, record.schema, database="d", lake_uri=lake)
    replacing = ("--rows-per-part", "10", "--replace", "--registered-in")
    for place, wrong, told in ((lake, "d.", "DATABASE.TABLE"), ("/tmp/lake", "d", "can only point at s3://")):
        refused = run("convert", source, place, *replacing, wrong)
        assert (refused.status, told in refused.err) == (BAD_CALL, True)
    assert "give that as well" in run("convert", source, lake, "--registered-in", "d").err
    assert len(glue.get_partitions(DatabaseName="d", TableName="reviews")["Partitions"]) == 1
    assert run("convert", source, lake, *replacing, "d").status == FINE
    assert glue.get_partitions(DatabaseName="d", TableName="reviews")["Partitions"] == []


def test_snapshots_of_one_table_or_all(run: Run, tmp_path: Path) -> None:
    """The whole lake by table and time, or one table."""
    lake = tmp_path / "lake"
    for days, table in ((0, "Reviews"), (1, "Reviews"), (0, "Books")):
        as_of = AS_OF + timedelta(days=days)
        _, export = write_export(tmp_path / f"{table}{days}", reviews(3), table=table, as_of=as_of)
        run("convert", export.source, lake)
    rows = run("snapshots", lake, "--json").json
    assert [(row["table"], row["as_of"][:10]) for row in rows] == [
        ("books", "2026-01-14"),
        ("reviews", "2026-01-14"),
        ("reviews", "2026-01-15"),
    ]
    assert len(run("snapshots", lake, "--table", "reviews", "--json").json) == 2
    assert run("snapshots", lake, "--table", "other").out == f"no snapshot of 'other' is published in {lake}\n"


@pytest.mark.parametrize("command", ["snapshots", "strays"])
def test_a_lake_that_is_not_there_is_told_from_an_empty_one(run: Run, tmp_path: Path, command: str) -> None:
    """It is no error, for the first run of all begins with none; but a slip of the pen is seen."""
    (tmp_path / "empty").mkdir()
    assert run(command, tmp_path / "empty").out == f"no snapshot is published in {tmp_path}/empty\n"
    missing = run(command, tmp_path / "lak")
    assert (missing.status, missing.out) == (
        FINE,
        f"no snapshot is published in {tmp_path}/lak: there is no such folder\n",
    )


def test_strays_are_listed_and_deleted(run: Run, source: str, tmp_path: Path) -> None:
    """1 where there are any, so that a check can ask; --delete removes them."""
    lake = tmp_path / "lake"
    run("convert", source, lake)
    assert run("strays", lake).out == "no strays\n"
    (folder,) = (lake / "reviews").glob("ddb_export_timestamp=*")
    (folder / "part-00007-deadbeef.parquet").write_bytes(b"12345")
    found = run("strays", lake, "--table", "reviews")
    assert found.status == BAD_DATA
    assert found.out == f"{folder}/part-00007-deadbeef.parquet  5 bytes\n1 stray; --delete deletes them\n"
    listed = run("strays", lake, "--json")
    assert [(stray["as_of"][:10], stray["bytes"]) for stray in listed.json["strays"]] == [("2026-01-14", 5)]
    deleted = run("strays", lake, "--delete")
    assert (deleted.status, deleted.out.splitlines()[-1]) == (FINE, "1 stray deleted")
    assert run("strays", lake, "--json").json == {"deleted": False, "strays": []}


def test_interrupting_is_no_traceback(run: Run, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and says how to go on."""
    from airflow_provider_ddbexport.cli import commands

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "verify", interrupted)
    stopped = run("verify", source)
    assert stopped.status == INTERRUPTED
    assert stopped.err.count("\n") == 1


def test_help_names_every_command_without_loading_the_engine() -> None:
    """--help is quick: neither pyarrow nor boto3 nor airflow is imported for it."""
    code = (
        "import sys; from airflow_provider_ddbexport.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print(end.code, sorted({'pyarrow', 'boto3', 'airflow', 'moto'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.endswith("0 []\n")
    for name in ("verify", "convert", "snapshots", "items", "strays", "local", "--version", "--json"):
        assert name in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the package's, and which decoder is in use."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ddbexport {airflow_provider_ddbexport.__version__}, {describe()}\n"


def test_local_serves_what_it_is_told_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port and seed go to the embedded AWS, whose exit status is the command's."""
    from airflow_provider_ddbexport import local

    calls: list[Any] = []

    def serve(host: str, port: int, *, seed: bool) -> int:
        calls.append((host, port, seed))
        return 0

    monkeypatch.setattr(local, "serve", serve)
    assert run("local", "--port", "0", "--seed").status == FINE
    assert run("local", "--host", "0.0.0.0").status == FINE
    assert calls == [("127.0.0.1", 0, True), ("0.0.0.0", 5000, False)]
    assert "expected a port" in run("local", "--port", "65536").err


def test_local_tells_an_address_it_cannot_listen_on_as_every_error(run: Run) -> None:
    """One line, JSON where that was asked for, with the reason that only the server under it knows."""
    refused = run("local", "--host", "nope.invalid", "--json")
    assert refused.status == BAD_DATA
    message = json.loads(refused.err)["error"]["message"]
    assert re.search("cannot listen on nope.invalid:5000: [A-Z].*; choose another --host", message)


def test_local_names_what_is_not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to install it; the package does without moto, which is an extra's."""
    monkeypatch.delitem(sys.modules, "airflow_provider_ddbexport.local.server", raising=False)
    monkeypatch.delattr("airflow_provider_ddbexport.local.server", raising=False)
    monkeypatch.setitem(sys.modules, "moto.moto_server.werkzeug_app", None)
    missing = run("local", "--port", "0")
    assert missing.status == BAD_CALL
    assert "needs moto.moto_server.werkzeug_app, which is not installed: pip install" in missing.err


def test_a_reader_that_has_enough_is_no_error(run: Run, tmp_path: Path) -> None:
    """``ddbexport items | head -1`` ends quietly."""
    _, export = write_export(tmp_path, reviews(5000))
    run("convert", export.source, tmp_path / "lake")
    items = subprocess.Popen(
        [*COMMAND, "items", str(tmp_path / "lake"), "--table", "reviews"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with items:
        assert items.stdout is not None
        assert items.stderr is not None
        assert items.stdout.readline().startswith(b'{"Item":')
        items.stdout.close()
        assert items.stderr.read() == b""
    assert items.returncode == FINE


def on_terminal(*arguments: object) -> tuple[int, str]:
    """Run a command whose standard error is a terminal; return its status and what the terminal got."""
    terminal, end = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    command = [*COMMAND, *map(str, arguments)]
    process = subprocess.Popen(command, stderr=end, stdout=subprocess.DEVNULL, env=environment)
    os.close(end)
    seen = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(terminal)
    return process.wait(600), seen.decode()


def test_a_terminal_sees_progress_and_everybody_else_does_not(run: Run, tmp_path: Path) -> None:
    """A bar with items and rate on a terminal's standard error; nothing when it is a file."""
    _, export = write_export(tmp_path, reviews(6000))
    status, seen = on_terminal("convert", export.source, tmp_path / "lake")
    assert status == FINE, seen
    for text in ("converting", "of 6,000 items", "items/s"):
        assert text in seen
    assert run("convert", export.source, tmp_path / "other").err == ""


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 on loopback with a bucket ``lake-bucket``."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket="lake-bucket")
        client.close()
        yield url
    finally:
        server.stop()


def test_s3_is_a_lake_as_good_as_a_folder(run: Run, source: str, s3_server: str, tmp_path: Path) -> None:
    """convert with worker processes, snapshots and items through --endpoint-url; the parts are those of a folder."""
    aws = ("--endpoint-url", s3_server, "--region", "us-east-1")
    lake = "s3://lake-bucket/some/lake"
    published = run("convert", source, lake, "--rows-per-part", "10", "--workers", "2", *aws, "--json")
    assert (published.status, published.err) == (FINE, "")
    assert published.json["record"] == f"{lake}/reviews/_snapshots/20260114T101850Z.json"
    restored = run(*aws, "items", lake, "--table", "reviews")
    assert in_order(restored.items) == in_order(reviews(30))
    locally = run("convert", source, tmp_path / "lake", "--rows-per-part", "10", "--json").json
    here, there = (run("snapshots", place, *aws, "--json").json[0] for place in (tmp_path / "lake", lake))
    assert locally["digest"] == published.json["digest"]
    assert (here["bytes"], here["parts"]) == (there["bytes"], there["parts"])
    missing = run("convert", source, "s3://no-such-bucket/lake", *aws)
    assert missing.status == BAD_DATA
    assert "no-such-bucket" in missing.err


@pytest.mark.parametrize(("environment", "style"), [({}, None), ({"AWS_ENDPOINT_URL": "http://aws:5005"}, "path")])
def test_buckets_of_another_s3_are_part_of_the_path(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], style: str | None
) -> None:
    """A host such as `aws` has no names for its buckets; Amazon's own are addressed as boto3 thinks best."""
    for name, value in {**environment, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(name, value)
    store = StoreSettings(region="us-east-1").open("s3://bucket/lake")
    assert isinstance(store, S3Store)
    assert (store._s3.meta.config.s3 or {}).get("addressing_style") == style
