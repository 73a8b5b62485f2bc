"""What README and docs say is true of the code beside them."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.md"
DOCS = CHECKOUT / "docs"
PAGES = sorted([*(DOCS / "operators").glob("*.md"), *(DOCS / "sensors").glob("*.md")])
SNIPPET = re.compile(r"<!-- snippet: (\S+) (\S+) -->\n```python\n(.*?)```", re.DOTALL)
OTHER_ACTIONS = {"iam:PassRole", "s3:GetObject", "s3:ListBucket"}
"""Actions that are no operations, or not of that name."""


def faces() -> dict[str, str]:
    """Return every operator and sensor with its module."""
    found = {}
    for folder in ("operators", "sensors"):
        for path in sorted((CHECKOUT / "airflow_provider_ddbexport" / folder).glob("*.py")):
            module = f"airflow_provider_ddbexport.{folder}.{path.stem}"
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and re.fullmatch(r"(DynamoDB|Glue|Athena)\w+", node.name):
                    found[node.name] = module
    return found


def run_block(page: Path, name: str) -> str:
    """Return the code block of *page* marked with *name*."""
    found = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", page.read_text(), re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found[1]


def statements(page: Path) -> list[dict[str, Any]]:
    """Return the statements of the page's policy."""
    found = re.search(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    assert found, f"{page} has no policy"
    policy: dict[str, Any] = json.loads(found[1])
    assert policy["Version"] == "2012-10-17"
    return list(policy["Statement"])


def test_every_operator_and_sensor_has_a_page_and_a_line_in_the_readme() -> None:
    """Nothing is there without being told of, and nothing told of is missing."""
    titles = {page.read_text().splitlines()[0].removeprefix("# "): page for page in PAGES}
    assert set(titles) == set(faces())
    for name, module in faces().items():
        assert f"from {module} import {name}" in titles[name].read_text()
        assert f"[`{name}`]({titles[name].relative_to(CHECKOUT)})" in README.read_text()
        assert inspect.getdoc(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_shows_a_piece_of_a_tested_dag(page: Path) -> None:
    """The snippet is the marked region of the DAG, to the letter."""
    ((dag, region, code),) = SNIPPET.findall(page.read_text())
    source = (CHECKOUT / dag).read_text()
    marked = source.split(f"# [START {region}]\n")[1].split(f"# [END {region}]")[0]
    assert code == textwrap.dedent(marked.rstrip() + "\n").rstrip() + "\n"


def test_the_readmes_dag_is_a_dag() -> None:
    """Its 15 lines make the chain the text tells of."""
    code = run_block(README, "readme")
    assert len(code.splitlines()) <= 15
    tree = ast.parse(code)
    (with_statement,) = [node for node in tree.body if isinstance(node, ast.With)]
    with_statement.items[0].optional_vars = ast.Name("readme", ast.Store())
    namespace: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(tree), "README.md", "exec"), namespace)
    dag = namespace["readme"]
    assert dag.start_date.replace(tzinfo=None) == datetime(2026, 1, 1)  # noqa: DTZ001 - as the README has it
    assert dag.task_ids == ["snapshot.wait", "snapshot.export", "snapshot.convert", "snapshot.check"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_policy_names_actions_there_are(page: Path) -> None:
    """An action is an operation of its service; a misspelt one would grant nothing."""
    session = botocore.session.get_session()
    for statement in statements(page):
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            service, operation = action.split(":")
            if action not in OTHER_ACTIONS:
                assert operation in known_operations(session, service), action


def known_operations(session: botocore.session.Session, service: str) -> set[str]:
    """Return the operations of *service*; S3's as IAM names them."""
    names = set(session.get_service_model(service).operation_names)
    return names | {"AbortMultipartUpload", "ListBucket"} if service == "s3" else names


def test_every_command_of_the_readme_is_understood() -> None:
    """The parser takes each `$ ddbexport …` line, and each `$ make …` is a target."""
    from airflow_provider_ddbexport.cli import build_parser

    text = README.read_text() + "".join(page.read_text() for page in sorted(DOCS.glob("*.md")))
    commands = re.findall(r"^\$ ddbexport (.*)$", text, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        build_parser().parse_args(shlex.split(command))
    targets = set(re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"(?:^\$ |`)make (\w+)", text, re.MULTILINE))
    assert asked >= {"demo", "test", "airflow"}
    assert asked <= targets


def test_every_proof_and_every_link_exists() -> None:
    """What the README points at is there."""
    text = README.read_text()
    proofs = re.findall(r"`(tests/\S+\.py)`", text)
    assert len(proofs) >= 9
    links = [link for page in [README, *DOCS.rglob("*.md")] for link in links_of(page)]
    for path in [*(CHECKOUT / proof for proof in proofs), *links]:
        assert path.exists(), path


def links_of(page: Path) -> list[Path]:
    """Return the files that *page* links to."""
    found = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    return [page.parent / link for link in found]


def test_the_embedded_aws_is_used_as_its_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's block runs, and what it calls exists."""
    from airflow_provider_ddbexport.local import LocalAws

    exec(compile(run_block(DOCS / "local.md", "local"), "docs/local.md", "exec"), {})
    assert "AWS_ENDPOINT_URL" in capsys.readouterr().out
    for name in re.findall(r"`aws\.(\w+)\(", (DOCS / "local.md").read_text()):
        assert hasattr(LocalAws, name)
