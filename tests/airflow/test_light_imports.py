"""What parsing a DAG imports: Airflow does it again and again, for every DAG file."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import airflow_provider_ddbexport as provider

DAGS = Path(__file__).parents[2] / "dags"

HEAVY = ("pyarrow", "numpy", "airflow_provider_ddbexport.core.snapshot", "airflow_provider_ddbexport.core.merge")

PARSE = """
import importlib, runpy, sys
for name in sys.argv[1:]:
    runpy.run_path(name) if name.endswith(".py") else importlib.import_module(name)
print(*sys.modules)
"""


def faces() -> list[str]:
    """Return the modules that DAGs import, and what those import of ours to defer."""
    packages = [f"{provider.__path__[0]}/{name}" for name in ("hooks", "links", "operators", "sensors", "triggers")]
    inside = [
        f"{provider.__name__}.{Path(package).name}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules([package])
    ]
    return [*inside, *(f"{provider.__name__}.{name}" for name in ("assets", "pipelines", "snapshot_tasks"))]


def test_parsing_a_dag_imports_neither_arrow_nor_the_converter() -> None:
    """Neither does any of the modules that a DAG may import; those that work import them when they do."""
    dags = sorted(map(str, DAGS.glob("*.py")))
    modules = faces()
    assert len(dags) > 10
    assert len(modules) > 30
    done = subprocess.run(
        [sys.executable, "-c", PARSE, *modules, *dags], capture_output=True, text=True, check=True, timeout=600
    )
    imported = done.stdout.splitlines()[-1].split()
    assert set(modules) <= set(imported)
    assert [name for name in HEAVY if name in imported] == []
