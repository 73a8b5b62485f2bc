"""Addresses of exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_folder import EXPORT_ID

from airflow_provider_ddbexport.core.export import split_source
from airflow_provider_ddbexport.errors import BadCallError


def test_an_exports_address_is_its_root_and_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local or s3://, with or without a slash at the end, relative or absolute, Path or text."""
    root = tmp_path / "AWSDynamoDB"
    (root / EXPORT_ID).mkdir(parents=True)
    monkeypatch.chdir(root)
    for address in (
        root / EXPORT_ID,
        f"{root}/{EXPORT_ID}/",
        EXPORT_ID,
        f"./{EXPORT_ID}",
        f"../AWSDynamoDB/{EXPORT_ID}",
    ):
        assert split_source(address) == (str(root), EXPORT_ID)
    monkeypatch.chdir(root / EXPORT_ID)
    assert split_source(".") == (str(root), EXPORT_ID)
    for prefix in ("", "/a/b", "/a/"):
        uri = f"s3://bucket{prefix}/AWSDynamoDB"
        assert split_source(f"{uri}/{EXPORT_ID}/") == (uri, EXPORT_ID)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("s3://bucket", "this is none"),
        ("s3://bucket/prefix/", "this is none"),
        ("s3://bucket/AWSDynamoDB", "add the ExportId"),
        (f"s3://bucket/AWSDynamoDB/{EXPORT_ID}/data", f"give s3://bucket/AWSDynamoDB/{EXPORT_ID}"),
        (f"s3://b/AWSDynamoDB/{EXPORT_ID}/manifest-summary.json", f"give s3://b/AWSDynamoDB/{EXPORT_ID}"),
        ("/exports/AWSDynamoDB/data/", "all incremental exports share"),
        (f"/exports/{EXPORT_ID}", "keep the name AWSDynamoDB"),
        ("/exports/AWSDynamoDB/yesterday", "this is none"),
        (f"gs://bucket/x/{EXPORT_ID}", "keep the name"),
        ("", "this is none"),
    ],
)
def test_another_address_is_refused_with_a_hint(address: str, hint: str) -> None:
    """The error says what an export's address looks like, and what this one is instead."""
    with pytest.raises(BadCallError) as caught:
        split_source(address)
    assert "…/AWSDynamoDB/<ExportId>" in str(caught.value)
    assert hint in str(caught.value)
