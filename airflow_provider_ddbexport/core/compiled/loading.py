"""Which compiled modules this installation has."""

from __future__ import annotations

import functools
import importlib
import logging
from types import ModuleType

from airflow_provider_ddbexport.core.compiled.sources import is_outdated

MODULES = ("_changes", "_disk", "_kernel", "_lines", "_pages", "_splice", "_thrift")

_log = logging.getLogger(__name__)


@functools.cache
def load(name: str) -> ModuleType | None:
    """Return the compiled module *name*; None, and a line in the log the first time, where it was not built.

    Nor where it was built of other sources than those beside it, whose Python it may not go with.
    """
    if is_outdated(name):
        _log.info(
            "The compiled module %s was built of other sources than those beside it; Python gives the same answer "
            "several times slower. Install the checkout again (make, or pip install -e .) to have it built anew.",
            name,
        )
        return None
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
    """Return the names of the modules that are not there, or not of the sources beside them."""
    return [name for name in MODULES if load(name) is None]
