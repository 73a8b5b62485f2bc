"""Exports of the embedded DynamoDB: what they hold, how they are laid out, what they refuse."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from orders_table import BUCKET, DAY_1, Orders
from snapshot_exports import in_order

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export.manifest import read_export
from airflow_provider_ddbexport.core.export.reader import read_items
from airflow_provider_ddbexport.core.export.verify import verify_export
from airflow_provider_ddbexport.core.snapshot import convert_export, snapshot_items
from airflow_provider_ddbexport.core.store import LocalStore, open_store

Refused = Callable[..., dict[str, Any]]

EVERY_TYPE = {
    "text": {"S": "zwölf \"Boxkämpfer\"\n🥊 'jagen'"},
    "number": {"N": "-12.5"},
    "tiny": {"N": "0." + "0" * 129 + "1"},
    "bytes": {"B": b"\x00\xff"},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "null": {"S": "an attribute may be called null"},
    "M": {"M": {"S": {"N": "1"}, "inner list": {"L": [{"S": ""}, {"L": []}, {"M": {}}]}}},
    "names": {"SS": ["a", "b'c"]},
    "numbers": {"NS": ["1", "2.5"]},
    "blobs": {"BS": [b"1", b"2"]},
}


def shape(value: Any) -> Any:
    """Return the members of a JSON value in their order, and the kinds of their values."""
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    return type(value).__name__


def check_layout(read: Callable[[str], bytes], exports: str, export_id: str) -> dict[str, Any]:
    """Assert what holds for every export, AWS's and ours; return what may be compared between them."""
    own = f"{exports}/{export_id}"
    assert re.fullmatch(r"0\d{13}-[0-9a-f]{8}", export_id)
    assert read(f"{own}/_started") == b""
    # Whoever published the export of 2026 changed account and bucket in its summary, and not the checksum.
    edited = b"test-1231x1x" in read(f"{own}/manifest-summary.json")
    for name in ("manifest-files",) if edited else ("manifest-summary", "manifest-files"):
        content = read(f"{own}/{name}.json")
        assert read(f"{own}/{name}.md5") == base64.b64encode(hashlib.md5(content).digest())
    summary = json.loads(read(f"{own}/manifest-summary.json"))
    assert summary["exportArn"].endswith(f"/export/{export_id}")
    assert summary["tableArn"] == summary["exportArn"].rpartition("/export/")[0]
    assert summary["manifestFilesS3Key"] == f"{own}/manifest-files.json"
    assert int(export_id[:14]) == int(re.sub(r"\D", "", str(epoch_ms(summary["startTime"]))))
    manifest = read(f"{own}/manifest-files.json")
    assert manifest.endswith(b"\n")
    files = [json.loads(line) for line in manifest.splitlines()]
    shared = "exportFromTime" in summary
    items = 0
    for file in files:
        content = read(file["dataFileS3Key"])
        md5 = hashlib.md5(content).digest()
        assert file["md5Checksum"] == base64.b64encode(md5).decode()
        assert file["etag"] == hashlib.md5(md5).hexdigest() + "-1"
        place = exports if shared else own
        assert re.fullmatch(rf"{re.escape(place)}/data/[a-z2-7]{{26}}\.json\.gz", file["dataFileS3Key"])
        lines = gzip.decompress(content).splitlines()
        assert len(lines) == file["itemCount"]
        assert lines or len(content) == 20
        for line in lines:
            assert line == json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False).encode()
        items += len(lines)
    assert items == summary["itemCount"]
    return {
        "summary": shape({**summary, "s3Prefix": None}),
        "version": summary["version"],
        "file": {str(shape(file)) for file in files},
        "stamps": {re.sub(r"\d", "9", summary[name]) for name in summary if name.endswith("Time")},
        "empty shards": any(file["itemCount"] == 0 for file in files),
    }


def epoch_ms(stamp: str) -> int:
    from airflow_provider_ddbexport.core.times import parse_time

    return round(parse_time(stamp).timestamp() * 1000)


def reader(folder: Path) -> Callable[[str], bytes]:
    return lambda key: (folder / key).read_bytes()


@pytest.mark.parametrize(
    "folder",
    [
        "full-2020/demo_prefix/AWSDynamoDB/01605130432834-8a918b87",
        "full-and-incremental-2026/AWSDynamoDB/01768385930622-efd1a093",
    ],
)
def test_a_full_export_is_laid_out_like_one_made_by_aws(orders: Orders, real_exports: Path, folder: str) -> None:
    """Files, names, members, their order and kinds, checksums and ETags are those of a real export."""
    root, _, key = folder.partition("/")
    exports, _, export_id = key.rpartition("/")
    prefix = exports.removesuffix("AWSDynamoDB").rstrip("/")
    orders.create("Orders", "S", "S")
    for number in range(3):
        orders.dynamodb.put_item(TableName="Orders", Item={"pk": {"S": str(number)}, "sk": {"S": "1"}})
    made = orders.export(**({"S3Prefix": prefix} if prefix else {}))
    real = check_layout(reader(real_exports / root), exports, export_id)
    ours = check_layout(orders.read, exports, made["ExportArn"].rpartition("/")[2])
    assert real["empty shards"]
    assert ours == real


@pytest.mark.parametrize("export_id", ["01768386924000-d339e52d", "01768388186000-4a2fc3ff"])
def test_an_increment_is_laid_out_like_one_made_by_aws(orders: Orders, real_exports: Path, export_id: str) -> None:
    """The same for increments, whose data files share one folder, and whose lines are inserts, updates and deletes."""
    folder = real_exports / "full-and-incremental-2026"
    orders.create()
    for pk in "abc":
        orders.put(pk)
    start = orders.later(minutes=30)
    orders.put("a", n={"N": "1"})
    orders.put("new")
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "b"}})
    made = orders.increment(start, orders.later(minutes=15))
    real = check_layout(reader(folder), "AWSDynamoDB", export_id)
    ours = check_layout(orders.read, "AWSDynamoDB", made["ExportArn"].rpartition("/")[2])
    del real["empty shards"], ours["empty shards"]
    assert ours == real
    kinds = {tuple(json.loads(line)) for path in (folder / "AWSDynamoDB/data").iterdir() for line in gunzipped(path)}
    assert {tuple(line) for line in orders.lines(made)} == kinds
    times = [line["Metadata"] for line in orders.lines(made)]
    assert all(re.fullmatch(r"\d{16}", time["WriteTimestampMicros"]["N"]) for time in times)


def gunzipped(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def test_an_export_shows_the_items_of_any_second(orders: Orders) -> None:
    """As of each of the seconds around a write, an export has exactly what the table held then."""
    orders.create()
    orders.put("a", n={"N": "1"})
    orders.later(seconds=1)
    orders.put("b")
    orders.later(seconds=1)
    orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "a"}})
    orders.later(hours=1)
    held = [set(orders.exported(DAY_1 + timedelta(seconds=second))) for second in range(4)]
    assert held == [{"a"}, {"a", "b"}, {"b"}, {"b"}]


def test_without_a_time_an_export_shows_the_table_as_it_is(orders: Orders) -> None:
    """No ExportTime means now, not the latest restorable time."""
    orders.create()
    orders.put("a")
    made = orders.export()
    assert [line["Item"] for line in orders.lines(made)] == [{"pk": {"S": "a"}}]
    assert made["ExportTime"] == made["StartTime"] == DAY_1


def test_a_month_of_history_is_made_in_a_second(orders: Orders) -> None:
    """With the clock stepped day by day, each day of 34 can be exported as it was."""
    orders.create()
    for day in range(34):
        orders.put(f"day-{day:02}")
        orders.later(days=1)
    orders.aws.configure(export_burst=100)
    for day in (0, 16, 33):
        held = orders.exported(DAY_1 + timedelta(days=day, hours=12))
        assert set(held) == {f"day-{earlier:02}" for earlier in range(day + 1)}


def test_items_of_every_type_are_exported_as_they_are(orders: Orders) -> None:
    """Each value comes back from a DYNAMODB_JSON export as it was put."""
    orders.create()
    orders.dynamodb.put_item(TableName="Orders", Item={"pk": {"S": "a"}, **EVERY_TYPE})
    (line,) = orders.lines(orders.export())
    assert line["Item"] == json.loads(
        json.dumps({"pk": {"S": "a"}, **EVERY_TYPE}, default=lambda raw: base64.b64encode(raw).decode())
    )


@pytest.mark.parametrize("output_format", ["DYNAMODB_JSON", "ION"])
def test_our_reader_verifies_what_the_emulator_exports(orders: Orders, output_format: str) -> None:
    """Reader and emulator agree on layout, checksums and values, in both formats."""
    orders.create()
    orders.dynamodb.put_item(TableName="Orders", Item={"pk": {"S": "a"}, **EVERY_TYPE})
    for number in range(30):
        orders.put(f"filler-{number}")
    made = orders.export(ExportFormat=output_format, S3Prefix="deep/er")
    root = open_store(f"s3://{BUCKET}/deep/er/AWSDynamoDB", s3=orders.s3)
    export = read_export(root, made["ExportArn"].rpartition("/")[2])
    assert verify_export(root, export).items == made["ItemCount"] == 31
    items = [item for file in export.files for item in read_items(root, export, file)]
    (found,) = [item for item in items if item["pk"] == {"S": "a"}]
    expected = json.loads(json.dumps(EVERY_TYPE, default=lambda raw: base64.b64encode(raw).decode()))
    ion_writes_exponents = {"tiny"}
    assert {name: found[name] for name in expected if name not in ion_writes_exponents} == {
        name: value for name, value in expected.items() if name not in ion_writes_exponents
    }
    assert float(found["tiny"]["N"]) == 1e-130


@pytest.mark.parametrize(
    "options", [ColumnOptions(), ColumnOptions(partition_by=("kind",))], ids=["plain", "partitioned"]
)
def test_an_export_in_ion_is_converted_like_one_in_json(orders: Orders, tmp_path: Path, options: ColumnOptions) -> None:
    """The same columns, the same rescued values and the same items, whichever of the two the table was exported in."""
    orders.create()
    orders.dynamodb.put_item(TableName="Orders", Item={"pk": {"S": "a"}, **EVERY_TYPE})
    for number in range(30):
        orders.put(f"filler-{number}", kind={"S": str(number % 3)}, number={"N": str(number)})
    orders.put("other", number={"S": "no number"})
    records = {}
    for output_format in ("ION", "DYNAMODB_JSON"):
        made = orders.export(ExportFormat=output_format)
        root = open_store(f"s3://{BUCKET}/AWSDynamoDB", s3=orders.s3)
        export = read_export(root, made["ExportArn"].rpartition("/")[2])
        lake = LocalStore(tmp_path / output_format)
        record = convert_export(root, export, lake, options=options, rows_per_part=12)
        given = [json.loads(line)["Item"] for line in snapshot_items(lake, record.table)]
        assert record.source.output_format == output_format
        assert record.rescued
        assert len(record.parts) > 2
        records[output_format] = record, in_order(given)
    (ion, from_ion), (plain, from_json) = records.values()
    assert from_ion == from_json
    assert len(from_ion) == 32
    assert (ion.schema, ion.rescued) == (plain.schema, plain.rescued)


def test_an_ion_line_looks_like_one_of_awss(orders: Orders) -> None:
    """`$ion_1_0 {Item:{…}}`, sets annotated, numbers decimals, files named .ion.gz."""
    orders.create()
    orders.put("a", n={"N": "12"}, tags={"SS": ["x"]}, weird={"M": {"a b": {"NULL": True}}})
    orders.export(ExportFormat="ION")
    files = [orders.read(key) for key in orders.objects() if key.endswith(".ion.gz")]
    lines = [line for content in files for line in gzip.decompress(content).splitlines()]
    assert lines == [b'$ion_1_0 {Item:{n:12.,pk:"a",tags:$dynamodb_SS::["x"],weird:{\'a b\':null}}}']


def test_a_prefix_that_ends_in_a_slash_is_kept_as_it_is(orders: Orders) -> None:
    """The service does not tidy a prefix up."""
    orders.create()
    made = orders.export(S3Prefix="a/")
    assert made["ExportManifest"].startswith("a//AWSDynamoDB/0")
    assert orders.summary(made)["s3Prefix"] == "a/"


def test_an_empty_table_gives_empty_files(orders: Orders) -> None:
    """An export without items has its data files, all of them 20 bytes of gzip."""
    orders.create()
    made = orders.export()
    sizes = {len(orders.read(key)) for key in orders.objects() if key.endswith(".gz")}
    assert (made["ItemCount"], made["BilledSizeBytes"], sizes) == (0, 0, {20})


def test_an_export_takes_its_time_and_writes_its_manifest_last(orders: Orders) -> None:
    """In progress there is _started and nothing else; once the time has passed, all is there."""
    orders.create()
    orders.put("a")
    orders.aws.configure(export_seconds=30_000)
    made = orders.export()
    assert made["ExportStatus"] == "IN_PROGRESS"
    assert "ExportManifest" not in made
    assert "EndTime" not in made
    assert [key.rpartition("/")[2] for key in orders.objects()] == ["_started"]
    orders.put("written while it runs")
    orders.later(seconds=29_000)
    assert orders.describe(made["ExportArn"])["ExportStatus"] == "IN_PROGRESS"
    orders.later(seconds=1000)
    done = orders.describe(made["ExportArn"])
    assert (done["ExportStatus"], done["ItemCount"]) == ("COMPLETED", 1)
    assert done["EndTime"] - done["StartTime"] == timedelta(seconds=30_000)


def test_an_export_survives_its_table(orders: Orders) -> None:
    """A table deleted while its export runs is exported; describe still answers, list does not."""
    orders.create()
    orders.put("a")
    orders.aws.configure(export_seconds=60)
    made = orders.export()
    orders.dynamodb.delete_table(TableName="Orders")
    orders.later(minutes=2)
    assert orders.describe(made["ExportArn"])["ItemCount"] == 1
    orders.create()
    assert orders.dynamodb.list_exports(TableArn=orders.arn)["ExportSummaries"] == []


def test_the_same_token_is_the_same_export(orders: Orders) -> None:
    """Two calls with one token and the same parameters are one export, billed once."""
    orders.create()
    orders.put("a")
    first, second = (orders.export(ClientToken="token") for _ in range(2))
    assert first["ExportArn"] == second["ExportArn"]
    assert [found["export_arn"] for found in orders.aws.exports_billed()] == [first["ExportArn"]]


def test_a_default_written_out_is_the_same_parameter(orders: Orders) -> None:
    """Leaving a parameter out and giving its default are the same call."""
    orders.create()
    first = orders.export(ClientToken="token")
    second = orders.export(ClientToken="token", ExportFormat="DYNAMODB_JSON", ExportType="FULL_EXPORT")
    assert first["ExportArn"] == second["ExportArn"]


@pytest.mark.parametrize(
    "other",
    [
        {"S3Prefix": "x"},
        {"ExportFormat": "ION"},
        {"ExportTime": DAY_1},
        {"S3Bucket": "other"},
        {"S3SseAlgorithm": "KMS"},
    ],
)
def test_the_same_token_with_other_parameters_is_a_conflict(
    orders: Orders, refused: Refused, other: dict[str, Any]
) -> None:
    """Whichever parameter differs: ExportConflictException, and no second export."""
    orders.create()
    orders.later(hours=1)
    orders.export(ClientToken="token")
    error = refused(orders.export, **{"ClientToken": "token", **other})
    assert error["Code"] == "ExportConflictException"
    assert len(orders.aws.exports_billed()) == 1


def test_a_token_of_a_failed_export_gives_the_failed_export(orders: Orders) -> None:
    """A token stays bound to its export even when that failed."""
    orders.create()
    orders.aws.configure(fail_next_export=("S3AccessDenied", "Access Denied"))
    first, second = (orders.export(ClientToken="token") for _ in range(2))
    assert (second["ExportStatus"], second["ExportArn"]) == ("FAILED", first["ExportArn"])
    assert orders.aws.exports_billed() == []


def test_a_token_is_forgotten_after_eight_hours(orders: Orders) -> None:
    """Just before, the same export; at eight hours, a new one that is billed as well."""
    orders.create()
    first = orders.export(ClientToken="token")
    orders.later(hours=8, seconds=-1)
    assert orders.export(ClientToken="token")["ExportArn"] == first["ExportArn"]
    orders.later(seconds=1)
    assert orders.export(ClientToken="token")["ExportArn"] != first["ExportArn"]
    assert len(orders.aws.exports_billed()) == 2


def test_without_a_token_every_call_is_an_export(orders: Orders) -> None:
    """boto3 makes up a token for each call that has none, so each is billed."""
    orders.create()
    assert orders.export()["ExportArn"] != orders.export()["ExportArn"]
    assert len(orders.aws.exports_billed()) == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/Nobody"}, "TableNotFoundException"),
        ({"TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"}, "TableNotFoundException"),
        ({"TableArn": "Orders"}, "ValidationException"),
        ({"S3Prefix": "x" * 1025}, "ValidationException"),
        ({"ExportFormat": "PARQUET"}, "ValidationException"),
        ({"ExportType": "SOME_EXPORT"}, "ValidationException"),
        ({"ExportType": "INCREMENTAL_EXPORT"}, "ValidationException"),
        ({"S3SseKmsKeyId": "key"}, "ValidationException"),
        ({"ExportTime": DAY_1 - timedelta(seconds=1)}, "InvalidExportTimeException"),
        ({"ExportTime": DAY_1 + timedelta(hours=1, seconds=-299)}, "InvalidExportTimeException"),
        ({"ExportTime": DAY_1 + timedelta(days=400)}, "InvalidExportTimeException"),
    ],
)
def test_a_call_that_cannot_be_met_is_refused_at_once(
    orders: Orders, refused: Refused, arguments: dict[str, Any], code: str
) -> None:
    """Each documented error comes from the call itself, and nothing is started."""
    orders.create()
    orders.later(hours=1)
    assert refused(orders.export, **arguments)["Code"] == code
    assert orders.aws.exports_billed() == []


@pytest.mark.parametrize("moment", [DAY_1, DAY_1 + timedelta(minutes=55)])
def test_both_ends_of_the_restorable_window_can_be_exported(orders: Orders, moment: Any) -> None:
    """The earliest and the latest restorable time are inside of the window."""
    orders.create()
    orders.later(hours=1)
    assert orders.export(ExportTime=moment)["ExportStatus"] == "COMPLETED"


def test_without_point_in_time_recovery_there_is_no_export(orders: Orders, refused: Refused) -> None:
    """PITR off, from the start or again: PointInTimeRecoveryUnavailableException."""
    orders.create(pitr=False)
    assert refused(orders.export)["Code"] == "PointInTimeRecoveryUnavailableException"
    orders.pitr()
    assert orders.export()["ExportStatus"] == "COMPLETED"
    orders.pitr(on=False)
    assert refused(orders.export)["Code"] == "PointInTimeRecoveryUnavailableException"


def test_turning_recovery_off_and_on_forgets_what_was_before(orders: Orders, refused: Refused) -> None:
    """The window starts where recovery was turned on last."""
    orders.create()
    orders.later(hours=1)
    orders.pitr(on=False)
    orders.pitr()
    orders.later(hours=1)
    assert refused(orders.export, ExportTime=DAY_1)["Code"] == "InvalidExportTimeException"
    assert orders.export(ExportTime=DAY_1 + timedelta(hours=1))["ExportStatus"] == "COMPLETED"


def test_the_window_is_as_long_as_the_recovery_period(orders: Orders, refused: Refused) -> None:
    """DescribeContinuousBackups shows both ends; what lies before the period cannot be exported any more."""
    orders.create()
    orders.pitr(days=3)
    now = orders.later(days=10)
    found = orders.dynamodb.describe_continuous_backups(TableName="Orders")["ContinuousBackupsDescription"]
    described = found["PointInTimeRecoveryDescription"]
    assert described["RecoveryPeriodInDays"] == 3
    assert described["EarliestRestorableDateTime"] == now - timedelta(days=3)
    assert described["LatestRestorableDateTime"] == now - timedelta(minutes=5)
    assert refused(orders.export, ExportTime=now - timedelta(days=3, seconds=1))["Code"] == "InvalidExportTimeException"
    assert orders.export(ExportTime=now - timedelta(days=3))["ExportStatus"] == "COMPLETED"


def test_a_recovery_period_has_at_most_35_days(orders: Orders, refused: Refused) -> None:
    """More is a validation error."""
    orders.create()
    assert refused(orders.pitr, days=36)["Code"] == "ValidationException"


def test_a_table_that_is_not_there_has_no_backups(orders: Orders, refused: Refused) -> None:
    """TableNotFoundException, for asking and for changing."""
    assert refused(orders.pitr, name="Nobody")["Code"] == "TableNotFoundException"
    found = refused(orders.dynamodb.describe_continuous_backups, TableName="Nobody")
    assert found["Code"] == "TableNotFoundException"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"S3Bucket": "no-such-bucket"}, "S3NoSuchBucket"),
        ({"S3Bucket": "denied-bucket"}, "S3AccessDenied"),
        ({"S3BucketOwner": "210987654321"}, "S3AccessDenied"),
        ({"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": "no-such-key"}, "KmsNotFoundException"),
    ],
)
def test_what_only_shows_later_fails_the_export_later(orders: Orders, arguments: dict[str, Any], code: str) -> None:
    """The call is accepted; describe then says FAILED, with code and message, and it is not billed."""
    orders.create()
    orders.s3.create_bucket(Bucket="denied-bucket")
    orders.aws.configure(denied_buckets=["denied-bucket"], export_seconds=60)
    made = orders.export(**arguments)
    assert made["ExportStatus"] == "IN_PROGRESS"
    orders.later(minutes=2)
    failed = orders.describe(made["ExportArn"])
    assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", code)
    assert failed["FailureMessage"]
    assert failed["EndTime"] > failed["StartTime"]
    assert "ExportManifest" not in failed
    assert orders.objects() == []
    assert orders.aws.exports_billed() == []


def test_objects_are_encrypted_as_asked(orders: Orders) -> None:
    """With a KMS key that exists, objects carry it; the manifest names it."""
    key = orders.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    orders.create()
    made = orders.export(S3SseAlgorithm="KMS", S3SseKmsKeyId=key)
    head = orders.s3.head_object(Bucket=BUCKET, Key=made["ExportManifest"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    assert orders.summary(made)["s3SseKmsKeyId"] == key


def test_a_data_file_has_the_etag_its_manifest_names(orders: Orders) -> None:
    """S3 answers with the ETag of the manifest, as for a file uploaded in one part."""
    orders.create()
    manifest = orders.read(orders.summary(orders.export())["manifestFilesS3Key"])
    for file in map(json.loads, manifest.splitlines()):
        assert orders.s3.head_object(Bucket=BUCKET, Key=file["dataFileS3Key"])["ETag"] == f'"{file["etag"]}"'


def test_an_export_that_is_unknown_is_not_found(orders: Orders, refused: Refused) -> None:
    """A well-formed ARN of nothing is not found; a malformed one is invalid."""
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/export/01768385930622-efd1a093"
    assert refused(orders.dynamodb.describe_export, ExportArn=arn)["Code"] == "ExportNotFoundException"
    wrong = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/exports"
    assert refused(orders.dynamodb.describe_export, ExportArn=wrong)["Code"] == "ValidationException"


def test_exports_are_listed_in_pages_for_ninety_days(orders: Orders, refused: Refused) -> None:
    """At most 25 at a time, whatever is asked for; those older than 90 days are not listed, but described."""
    orders.create()
    orders.aws.configure(export_burst=1000)
    old = orders.export()["ExportArn"]
    orders.later(days=60)
    new = [orders.export()["ExportArn"] for _ in range(30)]
    orders.create("Other")
    other = orders.export()["ExportArn"]
    arn = orders.arn.replace("Other", "Orders")
    first = orders.dynamodb.list_exports(TableArn=arn)
    assert len(first["ExportSummaries"]) == 25
    rest = orders.dynamodb.list_exports(TableArn=arn, NextToken=first["NextToken"])
    listed = [found["ExportArn"] for page in (first, rest) for found in page["ExportSummaries"]]
    assert sorted(listed) == sorted([old, *new])
    assert "NextToken" not in rest
    orders.later(days=31)
    listed = []
    token: dict[str, str] = {}
    while True:
        page = orders.dynamodb.list_exports(MaxResults=10, **token)
        assert len(page["ExportSummaries"]) <= 10
        listed += [found["ExportArn"] for found in page["ExportSummaries"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(listed) == sorted([other, *new])
    assert orders.describe(old)["ExportStatus"] == "COMPLETED"
    assert refused(orders.dynamodb.list_exports, MaxResults=26)["Code"] == "ValidationException"


def test_a_burst_of_exports_is_throttled(orders: Orders, refused: Refused) -> None:
    """After about 20 calls in a burst comes ThrottlingException; a while later calls are let in again."""
    orders.create()
    orders.aws.configure(export_refill_per_s=0.001)
    for _ in range(20):
        orders.export()
    assert refused(orders.export)["Code"] == "ThrottlingException"
    assert len(orders.aws.exports_billed()) == 20
    orders.later(minutes=20)
    assert orders.export()["ExportStatus"] == "COMPLETED"


def test_asking_for_backups_too_often_is_throttled(orders: Orders, refused: Refused) -> None:
    """DescribeContinuousBackups has a rate of its own."""
    orders.create()
    orders.aws.configure(describe_backups_per_s=0.5)
    assert refused(orders.dynamodb.describe_continuous_backups, TableName="Orders")["Code"] == "ThrottlingException"


def test_too_many_exports_at_once_are_refused(orders: Orders, refused: Refused) -> None:
    """LimitExceededException while the limit's number is in progress, not after."""
    orders.create()
    orders.aws.configure(export_seconds=60, concurrent_exports=2)
    orders.export()
    orders.export()
    assert refused(orders.export)["Code"] == "LimitExceededException"
    orders.later(minutes=2)
    assert orders.export()["ExportStatus"] == "IN_PROGRESS"


def test_a_bucket_of_another_account_is_written_for_its_owner(orders: Orders) -> None:
    """With S3BucketOwner the export goes to that account's bucket."""
    from airflow_provider_ddbexport.local.server import process_emulator

    emulator, _ = process_emulator()
    emulator.moto.s3("210987654321").create_bucket("their-bucket", "us-east-1")
    orders.create()
    assert orders.export(S3Bucket="their-bucket")["FailureCode"] in {"S3AccessDenied", "S3NoSuchBucket"}
    made = orders.export(S3Bucket="their-bucket", S3BucketOwner="210987654321")
    assert made["ExportStatus"] == "COMPLETED"
    keys = emulator.moto.s3("210987654321").buckets["their-bucket"].keys
    assert made["ExportManifest"] in keys
