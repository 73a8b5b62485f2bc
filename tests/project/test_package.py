"""The distribution: what it requires, what it declares, what it pins for development."""

from __future__ import annotations

import re
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = CHECKOUT / "requirements"


def test_the_distribution_has_lower_bounds_only() -> None:
    """Whoever installs the provider keeps the versions Airflow's constraints give."""
    requirements = [Requirement(text) for text in distribution("airflow-provider-ddbexport").requires or []]
    assert {"apache-airflow", "boto3", "pyarrow"} <= {requirement.name for requirement in requirements}
    operators = {spec.operator for requirement in requirements for spec in requirement.specifier}
    assert operators == {">="}


def test_what_airflow_and_pytest_look_for_is_declared() -> None:
    """The provider, the shell command and the fixture are found by their entry points."""
    declared = {(entry.group, entry.name) for entry in distribution("airflow-provider-ddbexport").entry_points}
    assert declared == {
        ("apache_airflow_provider", "provider_info"),
        ("console_scripts", "ddbexport"),
        ("pytest11", "ddbexport_local"),
    }
    for entry in distribution("airflow-provider-ddbexport").entry_points:
        assert callable(entry.load()) or entry.group == "pytest11"


def test_the_package_is_typed() -> None:
    """Type checkers of its users read its annotations."""
    assert (CHECKOUT / "airflow_provider_ddbexport" / "py.typed").exists()


def test_development_is_pinned_with_hashes_and_names_no_index() -> None:
    """Everybody develops and runs the demo with exactly the same files, from whichever index is theirs."""
    pins = pinned(REQUIREMENTS / "dev.txt")
    assert len(pins) > 100
    for name in ("apache-airflow", "boto3", "pyarrow", "moto", "duckdb", "ruff", "mypy"):
        assert version(name) == pins[name]


def test_the_peers_of_the_benchmarks_are_pinned_beside_it() -> None:
    """Installing them changes nothing that development has."""
    pins = pinned(REQUIREMENTS / "bench.txt")
    assert {"polars", "pyspark", "matplotlib"} <= set(pins)
    development = pinned(REQUIREMENTS / "dev.txt")
    assert {name: version for name, version in pins.items() if development.get(name, version) != version} == {}
    assert "awswrangler" in pinned(REQUIREMENTS / "awswrangler.txt"), "which has an environment of its own"


def pinned(path: Path) -> dict[str, str]:
    """Return the versions that *path* pins, each with hashes, by name."""
    text = path.read_text()
    pins = re.findall(r"^([a-z0-9][\w.-]*)==(\S+).*\\$", text, re.MULTILINE)
    assert len(re.findall(r"^[a-z0-9].*==", text, re.MULTILINE)) == len(pins)
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    return dict(pins)
