"""``--replace``, and the catalog that the snapshot in whose place another one is put is unregistered from first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.errors import BadCallError

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.snapshot.commit import BeforeReplace
    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what decides whether another snapshot of the same time is replaced."""
    command.add_argument("--replace", action="store_true", help="take the place of another snapshot of the same time")
    command.add_argument(
        "--registered-in",
        metavar="DATABASE[.TABLE]",
        help="where in the Glue Catalog it is registered; --replace unregisters it there first, else unregister it "
        "yourself: its folder holds the rows of both for a while",
    )


def unregistering(args: argparse.Namespace) -> BeforeReplace | None:
    """Return what unregisters a snapshot that is to be replaced, as *args* say. Raises BadCallError."""
    if args.registered_in is None:
        return None
    if not args.replace:
        raise BadCallError(
            "--registered-in: nothing is unregistered but by --replace; give that as well, or leave it out"
        )
    from airflow_provider_ddbexport.core.catalog.register import catalog_names, unregister_snapshot

    if not args.lake.startswith("s3://"):
        raise BadCallError(f"--registered-in: the Glue Catalog can only point at s3://, found {args.lake}")
    place = catalog_names(args.registered_in)
    glue = StoreSettings.of(args).glue()

    def unregister(replaced: CommitRecord) -> None:
        unregister_snapshot(glue, replaced, **place, lake_uri=args.lake)

    return unregister
