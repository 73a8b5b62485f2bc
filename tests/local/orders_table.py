"""A table under test: how tests of the embedded AWS write it, export it and read the exports."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_ddbexport.local import LocalAws

BUCKET = "exports-bucket"
DAY_1 = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Orders:
    """A table under test, with clients that try once, so that each answer is the service's first."""

    aws: LocalAws
    dynamodb: Any
    s3: Any
    arn: str = ""

    def create(
        self, name: str = "Orders", hash_type: str = "S", range_type: str | None = None, *, pitr: bool = True, **kw: Any
    ) -> str:
        """Create a table with keys ``pk`` (and ``sk``) and return its ARN."""
        keys = {"pk": hash_type} | ({"sk": range_type} if range_type else {})
        kinds = dict(zip(keys, ("HASH", "RANGE"), strict=False))
        billing = kw or {"BillingMode": "PAY_PER_REQUEST"}
        self.arn = self.dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
            KeySchema=[{"AttributeName": key, "KeyType": kinds[key]} for key in keys],
            **billing,
        )["TableDescription"]["TableArn"]
        if pitr:
            self.pitr(name)
        return self.arn

    def pitr(self, name: str = "Orders", *, days: int = 35, on: bool = True) -> None:
        """Turn point-in-time recovery on or off."""
        period = {"RecoveryPeriodInDays": days} if on else {}
        self.dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on, **period}
        )

    def put(self, pk: str, name: str = "Orders", **attributes: Any) -> None:
        """Put an item with a text key."""
        self.dynamodb.put_item(TableName=name, Item={"pk": {"S": pk}, **attributes})

    def export(self, **kw: Any) -> dict[str, Any]:
        """Start an export and return its description as it is now."""
        arguments = {"TableArn": self.arn, "S3Bucket": BUCKET, **kw}
        started = self.dynamodb.export_table_to_point_in_time(**arguments)["ExportDescription"]
        return self.describe(started["ExportArn"])

    def increment(self, start: datetime, end: datetime, view: str = "NEW_AND_OLD_IMAGES", **kw: Any) -> dict[str, Any]:
        """Start an incremental export and return its description as it is now."""
        window = {"ExportFromTime": start, "ExportToTime": end, "ExportViewType": view}
        return self.export(ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=window, **kw)

    def describe(self, arn: str) -> dict[str, Any]:
        """Return an export's description."""
        found: dict[str, Any] = self.dynamodb.describe_export(ExportArn=arn)["ExportDescription"]
        return found

    def read(self, key: str) -> bytes:
        """Return an object of the bucket."""
        content: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def objects(self) -> list[str]:
        """Return the keys of every object of the bucket."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def summary(self, description: dict[str, Any]) -> dict[str, Any]:
        """Return manifest-summary.json of an export."""
        found: dict[str, Any] = json.loads(self.read(description["ExportManifest"]))
        return found

    def lines(self, description: dict[str, Any]) -> list[dict[str, Any]]:
        """Return every line of every data file of an export in DynamoDB JSON."""
        manifest = self.read(self.summary(description)["manifestFilesS3Key"]).splitlines()
        files = [json.loads(line)["dataFileS3Key"] for line in manifest]
        return [json.loads(line) for file in files for line in gzip.decompress(self.read(file)).splitlines()]

    def exported(self, as_of: datetime, name: str = "Orders") -> dict[str, dict[str, Any]]:
        """Return what the table held at *as_of*, by text key, as a full export shows it."""
        arn = self.dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
        items = [line["Item"] for line in self.lines(self.export(TableArn=arn, ExportTime=as_of))]
        return {item["pk"]["S"]: item for item in items}

    def later(self, **step: float) -> datetime:
        """Step the clock and return the time then."""
        self.aws.clock.advance(timedelta(**step))
        return self.aws.clock.now()
