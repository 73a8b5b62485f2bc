"""What kind of value each argument of the operators, sensors and triggers takes.

Most are only needed late, some after an export that is billed, and a value of another kind would end there in an error
that says nothing and is tried again. So all are looked at before anything is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta

from airflow_provider_ddbexport.errors import BadCallError

_MOST_S = 100 * 365 * 24 * 3600
"""Seconds; a deadline further away has no date."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an argument has to be.

    Attributes:
        expected: in words.
        holds: whether a value is of it.
    """

    expected: str
    holds: Callable[[object], bool]

    def or_none(self) -> _Kind:
        return _Kind(f"{self.expected}, or None", lambda value: value is None or self.holds(value))


def check_arguments(owner: object, *, templates: Collection[str] = ()) -> None:
    """Raise BadCallError for an argument that *owner*, an operator or a trigger, keeps and that is of a wrong kind.

    Text, and what a task returns, may become something else in the arguments *templates*, and passes there.
    """
    for name, value in vars(owner).items():
        if name in templates and (isinstance(value, str) or hasattr(value, "iter_references")):
            continue
        kind = _KINDS.get(name)
        if kind is not None and not kind.holds(value):
            # Of the rest only what it is: text and lists may have values of items, as in a filter.
            told = isinstance(value, float | int | timedelta | None)
            found = f"{value!r}" if told else f"a {type(value).__name__}"
            raise BadCallError(f"{name}: expected {kind.expected}, found {found}; correct the argument", argument=name)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_S


def _are_names(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, Sequence | Set) and all(isinstance(name, str) for name in value)
    )


_TEXT = _Kind("text", lambda value: isinstance(value, str))
_SWITCH = _Kind("True or False", lambda value: isinstance(value, bool))
_COUNT = _Kind(
    "a whole number from 1 on", lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1
)
_SHARE = _Kind("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
_PATIENCE = _Kind(f"a number of seconds from 0 to {_MOST_S}", _is_seconds)
_INTERVAL = _Kind(f"a number of seconds above 0, at most {_MOST_S}", lambda value: _is_seconds(value) and value != 0)
_DURATION = _Kind("a timedelta", lambda value: isinstance(value, timedelta))
_NAMES = _Kind("a name, or a list of names", _are_names)
_MAPPING = _Kind("a dict", lambda value: isinstance(value, Mapping))
_TIMES = _Kind("times, as text or a list", lambda value: isinstance(value, Sequence))
_EXPORTS = _Kind(
    "what a task that exports increments returned, or addresses", lambda value: isinstance(value, Mapping | Sequence)
)
_TYPES = _Kind("text, or a dict", lambda value: isinstance(value, str | Mapping))

_BY_KIND: dict[_Kind, tuple[str, ...]] = {
    _TEXT: (
        *("table_name", "s3_bucket_name", "export_format", "export_view", "out_of_window"),
        *("lake", "source", "record", "nested", "workgroup", "catalog", "crawler_name", "export_arn"),
    ),
    _TEXT.or_none(): (
        *("s3_prefix", "s3_sse_algorithm", "s3_sse_kms_key_id", "s3_bucket_owner", "ledger", "exports_in"),
        *("table", "database", "registered_in", "catalog_id", "destination", "output_location", "role"),
        *("index_name", "filter_expression", "projection_expression"),
    ),
    _SWITCH: (
        *("wait_for_completion", "deferrable", "replace", "other_table", "accept_edited_summary", "allow_empty"),
        *("create", "is_consistent", "with_increments", "at_or_after", "shorten"),
    ),
    _COUNT: ("workers", "rows_per_part", "part_bytes"),
    _SHARE.or_none(): ("max_growth", "max_shrink"),
    _PATIENCE: ("patience_s", "throttle_deadline_s"),
    _INTERVAL: ("poll_interval_s", "waiter_delay"),
    _DURATION: ("max_gap",),
    _DURATION.or_none(): ("full_every",),
    _NAMES: ("partition_by", "sort_by"),
    _NAMES.or_none(): ("keys",),
    _MAPPING.or_none(): (
        *("filter_specification", "expression_attribute_names", "expression_attribute_values"),
        *("column_names", "expectations", "config"),
    ),
    _TYPES: ("numbers",),
    _TIMES: ("cut_at",),
    _EXPORTS.or_none(): ("increments",),
}

_KINDS = {name: kind for kind, names in _BY_KIND.items() for name in names}
