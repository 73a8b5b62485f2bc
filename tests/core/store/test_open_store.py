"""Addresses of stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_ddbexport.core.store import LocalStore, S3Store, open_store
from airflow_provider_ddbexport.errors import BadCallError


def test_a_path_is_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and Path, absolute and relative, with and without a slash at the end, are the same folder."""
    monkeypatch.chdir(tmp_path)
    for address in (str(tmp_path / "lake"), f"{tmp_path}/lake/", tmp_path / "lake", "lake", "./lake/"):
        store = open_store(address)
        assert store == LocalStore(tmp_path / "lake")
        assert store.uri == f"{tmp_path}/lake"


def test_an_s3_address_keeps_its_bucket_and_folder() -> None:
    """s3:// with and without folder and slash; a folder "a/" of an export's prefix keeps its own slash."""
    client: Any = object()
    for address, uri in (
        ("s3://lake", "s3://lake"),
        ("s3://lake/", "s3://lake"),
        ("s3://lake/a/b/", "s3://lake/a/b"),
        ("s3://lake/a//AWSDynamoDB", "s3://lake/a//AWSDynamoDB"),
    ):
        store = open_store(address, s3=client)
        assert isinstance(store, S3Store)
        assert store.uri == uri
        assert store.uri_of("k") == f"{uri}/k"


def test_s3_needs_a_client() -> None:
    """Without s3= the error says how to get one."""
    with pytest.raises(BadCallError, match=r"boto3\.client"):
        open_store("s3://lake/a")


@pytest.mark.parametrize(
    "address", ["", "gs://lake/a", "https://lake.s3.amazonaws.com/a", "s3a://lake", "s3:///a", "s3:/lake"]
)
def test_what_is_neither_is_refused(address: str) -> None:
    """Other schemes, no bucket, nothing at all: a BadCallError that says what is expected."""
    with pytest.raises(BadCallError, match=r"expected .*s3://<bucket>/<folder>"):
        open_store(address, s3=object())
