"""docker-compose.yaml and the Dockerfile, as far as they can be proved without Docker."""

from __future__ import annotations

import argparse
import contextlib
import importlib.resources
import io
import json
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with its merge keys resolved as Docker resolves them."""
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text())
    return loaded


def ours(compose: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every service that runs our image."""
    for name, service in compose["services"].items():
        if service["image"] == "airflow-provider-ddbexport":
            yield name, service


def test_the_file_is_valid_by_the_compose_specification(compose: dict[str, Any]) -> None:
    """It validates against the specification's own schema."""
    schema = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text()))


def test_the_schema_would_refuse_a_misspelt_key(compose: dict[str, Any]) -> None:
    """The check above can fail."""
    broken = {**compose, "services": {"aws": {**compose["services"]["aws"], "comand": ["x"]}}}
    schema = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.validate(broken, json.loads(schema.read_text()))


def test_every_command_exists_and_takes_its_arguments(compose: dict[str, Any]) -> None:
    """What a service starts is a console script of the image, and its parser takes the arguments."""
    from airflow.cli import cli_parser

    from airflow_provider_ddbexport import cli

    scripts = {script.name for script in entry_points(group="console_scripts")}
    parsers: dict[str, argparse.ArgumentParser] = {
        "airflow": cli_parser.get_parser(),
        "ddbexport": cli.build_parser(),
    }
    seen = set()
    for name, service in ours(compose):
        program, *arguments = service["command"]
        assert program in scripts, f"service {name} starts {program}"
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                parsers[program].parse_args(arguments)
        except SystemExit:
            pytest.fail(f"service {name}: {program} refuses {arguments}: {errors.getvalue()}")
        seen.add(program)
    assert seen == {"airflow", "ddbexport"}


def test_what_a_service_waits_for_exists(compose: dict[str, Any]) -> None:
    """depends_on names services, and those waited for as healthy have a health check."""
    services = compose["services"]
    for service in services.values():
        for dependency, terms in service.get("depends_on", {}).items():
            assert dependency in services
            if terms["condition"] == "service_healthy":
                assert "healthcheck" in services[dependency]


def test_buckets_are_part_of_the_path(compose: dict[str, Any]) -> None:
    """The service `aws` answers for no other host name, so clients must not make one of the bucket's."""
    from airflow.models import Connection

    interpolated = compose["services"]["scheduler"]["environment"]["AIRFLOW_CONN_AWS_DEFAULT"]
    default = re.fullmatch(r"\$\{AIRFLOW_CONN_AWS_DEFAULT:-(.*)\}", interpolated)
    assert default
    connection = Connection(conn_id="aws_default", uri=default[1])
    assert connection.conn_type == "aws"
    assert connection.extra_dejson == {"config_kwargs": {"s3": {"addressing_style": "path"}}}


def test_what_the_example_dags_ask_the_environment_for_reaches_them(compose: dict[str, Any]) -> None:
    """Each service that runs DAGs is given every variable that one of them reads."""
    dags = "".join(path.read_text() for path in (CHECKOUT / "dags").glob("*.py"))
    asked = set(re.findall(r"os\.environ\.get\(['\"](\w+)", dags))
    assert {"DDBEXPORT_TABLE", "DDBEXPORT_TOPIC", "DDBEXPORT_CRAWLER_ROLE", "AWS_DEFAULT_REGION"} <= asked
    for name, service in ours(compose):
        if service["command"][0] == "airflow":
            assert asked <= service["environment"].keys(), name


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    """Nothing is reachable from another machine."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_image_copies_is_in_the_build_context() -> None:
    """Each COPY names files of the checkout which .dockerignore lets through."""
    allowed = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (.+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert copies
    for copy in copies:
        *sources, _target = shlex.split(copy)
        for source in sources:
            assert (CHECKOUT / source).exists(), source
            assert source in allowed, source
