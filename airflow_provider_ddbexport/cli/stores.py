"""Opening stores for the shell, here and in worker processes, and the other clients it needs."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.errors import BadCallError

if TYPE_CHECKING:  # pyarrow and boto3 cost most of a second, `ddbexport --help` needs neither
    from airflow_provider_ddbexport.core.snapshot import Stores
    from airflow_provider_ddbexport.core.store import ObjectStore


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How addresses are opened; None leaves it to the AWS configuration of this machine."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    expected_bucket_owner: str | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> StoreSettings:
        """Return what the shared options say."""
        return cls(
            endpoint_url=getattr(args, "endpoint_url", None),
            region=getattr(args, "region", None),
            profile=getattr(args, "profile", None),
            expected_bucket_owner=getattr(args, "expected_bucket_owner", None),
        )

    def open(self, uri: str) -> ObjectStore:
        """Return the store at *uri*. Raises BadCallError."""
        from airflow_provider_ddbexport.core.store import open_store

        if not uri.startswith("s3://"):
            return open_store(uri)
        return open_store(uri, s3=self._s3(), expected_bucket_owner=self.expected_bucket_owner)

    def dynamodb(self, *, connections: int = 10, is_optional: bool = False) -> Any:
        """Return a DynamoDB client, one that soon gives up where its answer *is_optional*. Raises BadCallError."""
        from botocore.config import Config

        soon = {"connect_timeout": 5, "read_timeout": 10, "retries": {"total_max_attempts": 2}}
        return self._client(
            "dynamodb", "DynamoDB", Config(max_pool_connections=connections, **(soon if is_optional else {}))
        )

    def glue(self) -> Any:
        """Return a Glue client. Raises BadCallError."""
        return self._client("glue", "Glue")

    def _s3(self) -> Any:
        from botocore.config import Config

        # Another S3 than Amazon's seldom has a host name for each bucket.
        is_amazons = not (self.endpoint_url or os.getenv("AWS_ENDPOINT_URL_S3") or os.getenv("AWS_ENDPOINT_URL"))
        return self._client("s3", "S3", None if is_amazons else Config(s3={"addressing_style": "path"}))

    def _client(self, service: str, name: str, config: Any = None) -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.Session(profile_name=self.profile, region_name=self.region)
            return session.client(service, endpoint_url=self.endpoint_url, config=config)
        except (BotoCoreError, ValueError) as error:
            raise BadCallError(f"no {name} client: {error}; see --profile, --region and --endpoint-url") from None


@dataclass(frozen=True, slots=True)
class _Opener:
    settings: StoreSettings
    root_uri: str
    lake_uri: str

    def __call__(self) -> Stores:
        from airflow_provider_ddbexport.core.snapshot import Stores

        return Stores(self.settings.open(self.root_uri), self.settings.open(self.lake_uri))


def stores_opener(settings: StoreSettings, root_uri: str, lake_uri: str) -> _Opener:
    """Return what opens both stores in a worker process; it pickles."""
    return _Opener(settings, root_uri, lake_uri)
