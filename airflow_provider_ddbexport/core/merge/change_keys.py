"""The keys of an increment's changes, from their JSON text."""

from __future__ import annotations

import itertools
import json
import re

import msgspec

from airflow_provider_ddbexport.core.decode import Item, check_item
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.errors import ItemError

# Values whose text in JSON is what key_bytes takes: ASCII without escapes, and whole numbers of the usual size.
_VALUE = rb'(?:"S":"([ !#-\[\]-~]*)"|"N":"(0|-?[1-9][0-9]{0,17})")'

_decode_keys = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class KeyReader:
    """Reads the keys of one table.

    Attributes:
        attributes: that keys are made of, by name: those of the first key; none before it.
    """

    def __init__(self) -> None:
        self.attributes: tuple[str, ...] = ()
        self._orders: list[tuple[re.Pattern[bytes], int]] = []
        self._names: list[bytes] = []

    def read(self, text: bytes) -> bytes:
        """Return the :func:`.key_bytes` of Keys whose JSON is *text*.

        Raises ItemError with a reason, ValueError and msgspec.MsgspecError.
        """
        for pattern, first in self._orders:
            found = pattern.fullmatch(text)
            if found is not None:
                values = found.groups()
                parts = [_tagged(*values[place : place + 2]) for place in range(0, len(values), 2)]
                return parts[0] if len(parts) == 1 else parts[first] + parts[1 - first]
        return self._read(_decode_keys(text))

    def is_of(self, image: bytes, key: bytes, text: bytes) -> bool:
        """Return whether the item whose JSON is *image* has *key*, which was read from *text*."""
        members = _decode_members(image)
        values = [members.get(attribute, msgspec.Raw()) for attribute in self.attributes]
        found = b"".join(itertools.chain(*zip(self._names, values, strict=True), (b"}",)))
        try:
            return found == text or self.read(found) == key
        except (ItemError, ValueError, msgspec.MsgspecError):
            return False

    def _read(self, keys: Item) -> bytes:
        if not self.attributes:
            self.attributes = tuple(sorted(keys))
            names = [json.dumps(name, ensure_ascii=False).encode() for name in self.attributes]
            self._names = [(b"," if place else b"{") + name + b":" for place, name in enumerate(names)]
            orders = [names, names[::-1]][: len(names)]
            self._orders = [(_pattern(order), first) for first, order in enumerate(orders)]
        # Text was checked by parsing it.
        if not all("S" in value for value in keys.values()):
            check_item(keys)
        key = key_bytes(keys, self.attributes) if len(keys) == len(self.attributes) <= 2 else None
        if not key:
            reason = (
                f"expected as Keys one or two strings, numbers or binaries, {', '.join(self.attributes)} as in the "
                f"first change, found {', '.join(sorted(keys)) or 'none'}"
            )
            raise ItemError(reason, reason=reason)
        return key


def _pattern(names: list[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"\{%b\}" % b",".join(rb"%b:\{%b\}" % (re.escape(name), _VALUE) for name in names))


def _tagged(text: bytes | None, number: bytes | None) -> bytes:
    if text is not None:
        return b"S%d:%b" % (len(text), text)
    number = number or b""
    return b"N%d:%b" % (len(number), number)
