"""The tree of errors."""

from __future__ import annotations

import pickle
import re

import pytest

from airflow_provider_ddbexport import errors
from airflow_provider_ddbexport.errors import DdbExportError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DdbExportError)]


def drawn() -> dict[str, str | None]:
    """Return each class in the module docstring's drawing with its parent."""
    assert errors.__doc__
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^(    [│├└─ ]*)(\w+Error)\b", line)
        if not found:
            continue
        depth = len(found[1])
        above = [(other, name) for other, name in above if other < depth]
        parents[found[2]] = above[-1][1] if above else None
        above.append((depth, found[2]))
    return parents


def test_the_drawing_is_the_tree() -> None:
    """Who reads the docstring knows what to catch."""
    actual = {cls.__name__: cls.__base__.__name__ if cls is not DdbExportError else None for cls in CLASSES}
    assert drawn() == actual
    assert len(actual) > 20


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_cross_processes_with_their_context(cls: type[DdbExportError]) -> None:
    """A worker process's error is the same error in the process that waits for it."""
    error = cls("part 7 of 42: gone", key="a/b", line=3)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == "part 7 of 42: gone"
    assert again.context == {"key": "a/b", "line": 3}
