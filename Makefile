# Everything runs in .venv of this checkout; each target makes it when it is missing or older than the pins.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := airflow_provider_ddbexport dags scripts tests
export UV_PYTHON_DOWNLOADS := never
# Airflow is a thousand modules, and every task and test process imports them: seconds each time if not kept compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint airflow bench-scan pins clean
.DEFAULT_GOAL := demo

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	$$uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt && \
	$$uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: $(STAMP) ## a table exported, verified, converted, published, crawled and queried, three days in a row
	@$(BIN)/python scripts/demo.py

test: lint ## lint, types and every test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

airflow: $(STAMP) ## Airflow on loopback beside the embedded AWS, until Ctrl-C
	@$(BIN)/python scripts/run_airflow.py

bench-scan: $(STAMP) ## scans against canned pages on loopback: ours and other clients
	@$(BIN)/python benchmarks/bench_scan.py --json build/bench-scan.json

pins: $(STAMP) ## compile requirements/dev.txt anew from pyproject.toml
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	$$uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-emit-index-url --no-emit-find-links --no-emit-package airflow-provider-ddbexport \
	  --custom-compile-command "make pins" --quiet -o requirements/dev.txt

clean:
	rm -rf $(VENV) .local build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
