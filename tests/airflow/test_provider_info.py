"""What the provider tells Airflow about itself is true."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from airflow_provider_ddbexport.get_provider_info import get_provider_info

INFO = get_provider_info()
MODULES = sorted(
    module
    for kind in ("operators", "sensors", "hooks", "triggers")
    for entry in INFO[kind]
    for module in entry["python-modules"]
)
CLASSES = {
    "operators.export": ["DynamoDBPointInTimeExportOperator"],
    "operators.incremental_export": ["DynamoDBIncrementalExportOperator"],
    "operators.point_in_time_recovery": ["DynamoDBEnablePointInTimeRecoveryOperator"],
    "operators.scan_backup": ["DynamoDBScanBackupOperator"],
    "operators.scan_shards": [
        "DynamoDBScanPlanOperator",
        "DynamoDBScanShardOperator",
        "DynamoDBScanFinishOperator",
    ],
    "operators.scan_to_parquet_shards": [
        "DynamoDBScanToParquetPlanOperator",
        "DynamoDBScanToParquetShardOperator",
    ],
    "operators.to_parquet": ["DynamoDBExportToParquetOperator"],
    "operators.convert_shards": ["DynamoDBConversionPlanOperator", "DynamoDBConversionShardOperator"],
    "operators.scan_to_parquet": ["DynamoDBScanToParquetOperator"],
    "operators.merge": ["DynamoDBMergeIncrementsOperator"],
    "operators.merge_shards": ["DynamoDBMergePlanOperator", "DynamoDBMergeShardOperator"],
    "operators.register": ["GlueSnapshotRegisterOperator"],
    "operators.crawler": ["GlueSnapshotCrawlerOperator"],
    "operators.athena_check": ["AthenaSnapshotCheckOperator"],
    "sensors.export": ["DynamoDBExportSensor"],
    "sensors.restorable_time": ["DynamoDBRestorableTimeSensor"],
    "sensors.snapshot": ["DynamoDBSnapshotSensor"],
    "hooks.dynamodb": ["DynamoDBExportHook"],
}


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    return schema


def test_the_information_is_valid_by_airflows_own_schema() -> None:
    """Airflow drops a provider whose information is not."""
    jsonschema.validate(INFO, _schema())


def test_the_schema_refuses_what_is_wrong() -> None:
    """The validation above can fail."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**INFO, "extra-links": [1]}, _schema())


def test_airflow_finds_the_information_by_its_entry_point() -> None:
    """The installed distribution advertises the function."""
    found = [point.load() for point in entry_points(group="apache_airflow_provider") if "ddbexport" in point.value]
    assert found == [get_provider_info]


@pytest.mark.parametrize("module", MODULES)
def test_an_advertised_module_imports(module: str) -> None:
    """Airflow only logs a warning about one that does not."""
    assert importlib.import_module(module)


@pytest.mark.parametrize("path", INFO["extra-links"])
def test_an_advertised_link_is_a_link(path: str) -> None:
    """The UI can only show links that import."""
    from airflow.sdk import BaseOperatorLink

    module, _, name = path.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), name), BaseOperatorLink)


@pytest.mark.parametrize(("module", "names"), CLASSES.items())
def test_every_public_class_is_where_the_documentation_says(module: str, names: list[str]) -> None:
    """And its module is advertised."""
    path = f"airflow_provider_ddbexport.{module}"
    assert path in MODULES
    for name in names:
        assert hasattr(importlib.import_module(path), name)


def test_every_link_of_an_operator_is_advertised() -> None:
    """A link that is not stays invisible in the UI."""
    for module, names in CLASSES.items():
        for name in names:
            owner = getattr(importlib.import_module(f"airflow_provider_ddbexport.{module}"), name)
            for link in getattr(owner, "operator_extra_links", ()):
                assert f"{type(link).__module__}.{type(link).__qualname__}" in INFO["extra-links"]


def test_every_trigger_module_is_advertised() -> None:
    """Whatever lies in triggers/ and can be deferred to is listed."""
    folder = files("airflow_provider_ddbexport") / "triggers"
    there = {f"airflow_provider_ddbexport.triggers.{p.name[:-3]}" for p in folder.iterdir() if p.name.endswith(".py")}
    bases = {
        f"airflow_provider_ddbexport.triggers.{name}" for name in ("__init__", "waiting", "polling", "conversation")
    }
    assert there - bases <= set(MODULES)
