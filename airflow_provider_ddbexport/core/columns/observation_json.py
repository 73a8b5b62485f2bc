"""Observations as JSON values, there and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_ddbexport.core.columns.numbers import NumberSpan
from airflow_provider_ddbexport.core.columns.observe import Observation, Shape


def observation_to_json(observation: Observation) -> dict[str, Any]:
    """Return *observation* as JSON values."""
    return {"items": observation.items, "attributes": _members_to_json(observation.attributes)}


def observation_from_json(values: Mapping[str, Any]) -> Observation:
    """Return the observation that :func:`observation_to_json` wrote.

    Raises KeyError, TypeError or ValueError when *values* are something else; the caller knows where they come from.
    """
    return Observation.of(values["items"], _members_from_json(values["attributes"]))


def _members_to_json(members: Mapping[str, Shape]) -> dict[str, Any]:
    return {name: _shape_to_json(members[name]) for name in sorted(members)}


def _members_from_json(values: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: _shape_from_json(shape) for name, shape in values.items()}


def _shape_to_json(shape: Shape) -> dict[str, Any]:
    values: dict[str, Any] = {"counts": dict(sorted(shape.counts.items()))}
    for name, span in (("numbers", shape.numbers), ("set_numbers", shape.set_numbers)):
        if span is not None:
            values[name] = [span.whole_digits, span.scale, span.is_int64]
    if shape.members is not None:
        values["members"] = _members_to_json(shape.members)
    for name, inner in (("map_values", shape.map_values), ("elements", shape.elements)):
        if inner is not None:
            values[name] = _shape_to_json(inner)
    return values


def _shape_from_json(values: Mapping[str, Any]) -> Shape:
    return Shape(
        counts=dict(values["counts"]),
        numbers=NumberSpan(*values["numbers"]) if "numbers" in values else None,
        set_numbers=NumberSpan(*values["set_numbers"]) if "set_numbers" in values else None,
        members=_members_from_json(values["members"]) if "members" in values else None,
        map_values=_shape_from_json(values["map_values"]) if "map_values" in values else None,
        elements=_shape_from_json(values["elements"]) if "elements" in values else None,
    )
