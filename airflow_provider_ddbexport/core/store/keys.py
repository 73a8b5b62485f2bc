"""Keys of objects, and the addresses made of them."""

from __future__ import annotations

from airflow_provider_ddbexport.errors import BadCallError

S3_SCHEME = "s3://"


def checked_key(key: str) -> str:
    """Return *key* when it stays below its store's root; raises BadCallError.

    Empty folder names are allowed: a DynamoDB export to the prefix ``a/`` has keys with ``a//AWSDynamoDB``.
    """
    if not key or key.startswith("/") or "\0" in key or ".." in key.split("/") or "." in key.split("/"):
        raise BadCallError(
            f"object key {key!r}: expected a relative one without '.' or '..' between its slashes", key=key
        )
    return key


def checked_folder(folder: str) -> str:
    """Return *folder* without its trailing ``/``; "" is the root itself. Raises BadCallError."""
    trimmed = folder.removesuffix("/")
    return checked_key(trimmed) if trimmed else ""


def shown_key(key: str) -> str:
    """Return *key* for a message: the values in names of Hive's partitions, but the outermost's, are left out.

    ``orders/ddb_export_timestamp=…/city=Lyon/part-…`` has an item's value in it, which is nobody's but the reader's.
    """
    folders = key.split("/")
    partitions = [place for place, folder in enumerate(folders) if "=" in folder]
    for place in partitions[1:]:
        folders[place] = folders[place].partition("=")[0] + "=…"
    return "/".join(folders)


def split_s3(uri: str) -> tuple[str, str]:
    """Return bucket and prefix of ``s3://bucket/prefix``, the prefix without the one trailing ``/`` it may have."""
    bucket, _, prefix = uri.removeprefix(S3_SCHEME).partition("/")
    if not uri.startswith(S3_SCHEME) or not bucket:
        raise BadCallError(f"{uri!r}: expected s3://<bucket>/<folder>", uri=uri)
    return bucket, prefix.removesuffix("/")
