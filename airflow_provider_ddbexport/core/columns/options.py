"""How the author of a snapshot wants its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.names import is_safe
from airflow_provider_ddbexport.errors import BadCallError

Nested = Literal["struct", "flatten", "json"]

_NESTED: tuple[Nested, ...] = ("struct", "flatten", "json")
_DECIMAL = re.compile(r"decimal\(\s*([0-9]{1,2})\s*,\s*([0-9]{1,2})\s*\)")


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """Options of a conversion that say what its columns are. Raises :class:`.BadCallError` when one is wrong.

    A *path* names an attribute, or one inside of maps (``address/city``; ``~1`` is a ``/`` and ``~0`` a ``~`` in a
    name). Indexes of lists, and keys of maps that are a MAP column, are left out: ``orders/price``.

    Attributes:
        numbers: the type of numbers, for all or by path with ``*`` for the rest. ``auto``: the narrowest exact one;
            ``double``; ``string``; ``decimal(p,s)``. What a type cannot hold exactly is rescued.
        nested: maps as ``struct`` columns, or ``flatten``\\ ed to one column per leaf, or maps and lists as ``json``.
        partition_by: attributes whose values become folders, outermost first; one may be given as text.
        column_names: path -> column name, where the name made from the attribute's will not do.
    """

    numbers: str | Mapping[str, str] = "auto"
    nested: Nested = "struct"
    partition_by: tuple[str, ...] = ()
    column_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Lists and single names are what command lines, templates and JSON give.
        given: object = self.partition_by
        attributes = (given,) if isinstance(given, str) else tuple(self.partition_by)
        object.__setattr__(self, "partition_by", attributes)
        object.__setattr__(self, "column_names", dict(self.column_names))
        if not isinstance(self.numbers, str):
            object.__setattr__(self, "numbers", dict(self.numbers))
        if self.nested not in _NESTED:
            raise BadCallError(f"nested: expected one of {', '.join(_NESTED)}, found {self.nested!r}")
        if len(set(attributes)) < len(attributes):
            raise BadCallError(f"partition_by: each attribute once, found {', '.join(attributes)}")
        for path, numbers in self._numbers().items():
            _number_type(numbers, path)
        for path, name in self.column_names.items():
            if not isinstance(name, str) or not is_safe(name):
                raise BadCallError(
                    f"column_names: the column of {path!r} must be 1 to 255 of a-z, 0-9 and _, found {name!r}"
                )

    def number_type(self, path: str) -> pa.DataType | None:
        """Return the type asked for numbers at *path*; None means the narrowest exact one."""
        numbers = self._numbers()
        key = path if path in numbers else "*"
        return _number_type(numbers.get(key, "auto"), key)

    def named_paths(self) -> set[str]:
        """Return the paths that ``numbers`` and ``column_names`` name."""
        return (self._numbers().keys() | self.column_names.keys()) - {"*"}

    def _numbers(self) -> Mapping[str, str]:
        return {"*": self.numbers} if isinstance(self.numbers, str) else self.numbers

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values; :meth:`from_json` reads them back."""
        return {
            "numbers": self.numbers if isinstance(self.numbers, str) else dict(self.numbers),
            "nested": self.nested,
            "partition_by": list(self.partition_by),
            "column_names": dict(self.column_names),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ColumnOptions:
        """Return the options that :meth:`to_json` wrote."""
        return cls(**values)


def _number_type(numbers: object, path: str) -> pa.DataType | None:
    if numbers == "auto":
        return None
    if numbers == "double":
        return pa.float64()
    if numbers == "string":
        return pa.string()
    decimal = _DECIMAL.fullmatch(numbers) if isinstance(numbers, str) else None
    if decimal:
        precision, scale = int(decimal[1]), int(decimal[2])
        if 1 <= precision <= 38 and scale <= precision:
            return pa.decimal128(precision, scale)
    raise BadCallError(
        f"numbers of {path!r}: expected auto, double, string or decimal(p,s) with 1 <= p <= 38 and s <= p, "
        f"found {numbers!r}"
    )
