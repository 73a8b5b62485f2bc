"""A page of a Scan, made of the body of its response: the items stay the bytes they came as.

A body is taken apart by compiled code, which lets other threads run meanwhile and takes half the time. Where that is
missing, or does not know what it is given, msgspec does, with the same result: what is a page is said there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import Item

_OPEN, _BETWEEN, _CLOSE = b'{"Item":', b'}\n{"Item":', b"}\n"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of one segment.

    Attributes:
        lines: ``{"Item":…}`` and a line break for each item, in order; empty where a filter left nothing.
        items: lines in it.
        scanned_items: items read for it, before any filter.
        response_bytes: size of the response's body; 0 where the stock parser hid it.
        last_key: DynamoDB JSON of where the next page starts; None on the last page of the segment.
        consumed_units: read capacity units it was charged.
        requests: requests that were sent for it; botocore's own retries may have been charged as well.
    """

    lines: bytes
    items: int
    scanned_items: int
    response_bytes: int
    last_key: Item | None
    consumed_units: float
    requests: int = 1


class _Consumed(msgspec.Struct):
    CapacityUnits: float = 0.0


class _Totals(msgspec.Struct, kw_only=True):
    Count: int
    ScannedCount: int
    LastEvaluatedKey: dict[str, Any] | None = None
    ConsumedCapacity: _Consumed | None = None


class _Response(_Totals, kw_only=True):
    Items: list[msgspec.Raw]


class _Rest(_Totals, kw_only=True):
    """A response whose items were taken out of it."""

    Items: Any = msgspec.UNSET


_decode = msgspec.json.Decoder(_Response).decode
_decode_rest = msgspec.json.Decoder(_Rest).decode
_REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)


def page_of(body: bytes) -> Page | None:
    """Return the page that *body* is, None if it is damaged."""
    return _spliced(body) or decoded_page(body)


def decoded_page(body: bytes) -> Page | None:
    """Return the same as :func:`page_of`, by msgspec alone."""
    try:
        response = _decode(body)
        if b"\n" in body:
            # Only ever between tokens, because strings escape it; DynamoDB sends none, but lines would break on it.
            response = _decode(msgspec.json.format(body, indent=-1))
    except _REFUSED:
        return None
    if len(response.Items) != response.Count:
        return None
    return _page(_lines(response.Items), response, len(body))


def _spliced(body: bytes) -> Page | None:
    """Return the page, None where msgspec is to say whether it is one."""
    splice = _splicer()
    spliced = None if splice is None else splice(body)
    if spliced is None:
        return None
    lines, items, rest = spliced
    try:
        response = _decode_rest(rest)
    except _REFUSED:
        return None
    # Of members of one name the last one counts; and line breaks change the items.
    if b"\n" in rest or response.Items is not msgspec.UNSET or response.Count != items:
        return None
    return _page(lines, response, len(body))


def _page(lines: bytes, totals: _Totals, response_bytes: int) -> Page:
    return Page(
        lines=lines,
        items=totals.Count,
        scanned_items=totals.ScannedCount,
        response_bytes=response_bytes,
        last_key=totals.LastEvaluatedKey or None,
        consumed_units=totals.ConsumedCapacity.CapacityUnits if totals.ConsumedCapacity else 0.0,
    )


def _lines(items: list[msgspec.Raw]) -> bytes:
    """Return the items as lines, in one copy: join() takes them where they lie in the body."""
    if not items:
        return b""
    pieces: list[Any] = [*items]
    pieces[0] = _OPEN + bytes(pieces[0])
    pieces[-1] = bytes(pieces[-1]) + _CLOSE
    return _BETWEEN.join(pieces)


def _splicer() -> Callable[[bytes], tuple[bytes, int, bytes] | None] | None:
    module = load("_splice")
    return None if module is None else module.splice
