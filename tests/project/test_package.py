"""The distribution: what it requires, what it declares, what it pins for development."""

from __future__ import annotations

import importlib
import pkgutil
import re
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import airflow_provider_ddbexport as provider

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = CHECKOUT / "requirements"


def test_the_distribution_has_lower_bounds_only() -> None:
    """Whoever installs the provider keeps the versions Airflow's constraints give."""
    requirements = required_of("airflow-provider-ddbexport")
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


def test_every_module_can_be_imported() -> None:
    """With whatever versions are installed: `make lowest` asks it of the oldest that are permitted."""
    modules = [module.name for module in pkgutil.walk_packages(provider.__path__, f"{provider.__name__}.")]
    assert len(modules) > 200
    for module in modules:
        importlib.import_module(module)


def test_every_provider_that_is_imported_is_required() -> None:
    """Those that others bring along may be of any version, and lack what is imported."""
    imported = {
        f"apache-airflow-providers-{name}"
        for source in Path(provider.__path__[0]).rglob("*.py")
        for name in re.findall(r"(?:from|import) airflow\.providers\.(\w+)", source.read_text())
    }
    assert "apache-airflow-providers-amazon" in imported
    assert imported <= {requirement.name for requirement in required_of("airflow-provider-ddbexport")}


def test_the_lower_bounds_are_those_that_make_lowest_tries() -> None:
    """No bound is lower than what the tests were run with."""
    pins = pinned(REQUIREMENTS / "lowest.txt")
    bounds = {
        canonicalize_name(requirement.name): Version(specifier.version)
        for requirement in required_of("airflow-provider-ddbexport")
        for specifier in requirement.specifier
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": name}) for name in ("local", "ion"))
    }
    assert {"apache-airflow", "boto3", "pyarrow", "moto", "amazon-ion"} <= set(bounds)
    assert {name: Version(pins[name]) for name in bounds} == bounds


def required_of(name: str) -> list[Requirement]:
    """Return what the installed distribution *name* requires, with and without extras."""
    return [Requirement(text) for text in distribution(name).requires or []]


def pinned(path: Path) -> dict[str, str]:
    """Return the versions that *path* pins, each with hashes, by name."""
    text = path.read_text()
    pins = re.findall(r"^([a-z0-9][\w.-]*)==(\S+).*\\$", text, re.MULTILINE)
    assert len(re.findall(r"^[a-z0-9].*==", text, re.MULTILINE)) == len(pins)
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    return dict(pins)
