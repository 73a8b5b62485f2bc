"""Which compiled modules this installation has."""

from __future__ import annotations

import functools
import importlib
import logging
from types import ModuleType

MODULES = ("_changes", "_kernel", "_pages", "_splice", "_thrift")

_log = logging.getLogger(__name__)


@functools.cache
def load(name: str) -> ModuleType | None:
    """Return the compiled module *name*; None, and a line in the log the first time, where it was not built."""
    try:
        return importlib.import_module(f"airflow_provider_ddbexport.core.compiled.{name}")
    except ImportError as error:
        # Not a warning: the answer is right, and a shell shows warnings where it shows errors, which may be JSON.
        _log.info(
            "The compiled module %s is not there (%s); Python gives the same answer several times slower. Install "
            "where there is a C compiler to have it built.",
            name,
            error,
        )
        return None


def missing() -> list[str]:
    """Return the names of the modules that are not there."""
    return [name for name in MODULES if load(name) is None]
