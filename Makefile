# Everything runs in .venv of this checkout; each target makes it when it is missing or older than the pins.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV = $$(command -v uv || echo $(BIN)/uv)
STAMP := $(VENV)/.installed
BENCH := $(VENV)/.benchmarks
# It asks for an older pyarrow than ours.
AWSWRANGLER := .local/awswrangler
LOWEST := .local/lowest
# One more than there are cores: the tests of a running Airflow mostly wait.
TESTERS := 3
export UV_PYTHON_DOWNLOADS := never
# The machine's certificates, where it has any: behind a proxy only they know it.
ifneq ($(wildcard /etc/ssl/certs/*),)
export UV_SYSTEM_CERTS := true
export UV_NATIVE_TLS := true
endif
# Airflow is a thousand modules, and every task and test process imports them: seconds each time if not kept compiled.
unexport PYTHONDONTWRITEBYTECODE

KERNEL := airflow_provider_ddbexport/core/compiled
SANITIZED := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1

.PHONY: .venv demo test lint fuzz kills asan bench bench-identity bench-merge airflow bench-scan readers lowest wheel wheels pins clean
.DEFAULT_GOAL := demo

$(STAMP): requirements/dev.txt pyproject.toml setup.py $(filter-out $(KERNEL)/_%.c,$(wildcard $(KERNEL)/*.c $(KERNEL)/*.h $(KERNEL)/*.pxi $(KERNEL)/*.pyx))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making $(VENV) with Airflow and all else: a minute or two"
	@$(PYTHON) -m venv --clear $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(BENCH): requirements/bench.txt $(STAMP)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@

$(AWSWRANGLER)/.installed: requirements/awswrangler.txt $(STAMP)
	@$(BIN)/python -m venv --clear $(AWSWRANGLER)
	@$(UV) pip install --quiet --python $(AWSWRANGLER)/bin/python --require-hashes -r requirements/awswrangler.txt
	@touch $@

$(LOWEST)/.installed: requirements/lowest.txt $(STAMP)
	@$(BIN)/python -m venv --clear $(LOWEST)
	@$(UV) pip install --quiet --python $(LOWEST)/bin/python --require-hashes -r requirements/lowest.txt
	@$(UV) pip install --quiet --python $(LOWEST)/bin/python --no-deps -e .
	@touch $@

.venv: $(STAMP) ## the virtual environment alone

demo: $(STAMP) ## a table exported, verified, converted, published, crawled and queried, three days in a row
	@$(BIN)/python scripts/demo.py

test: lint ## lint, types and every test
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(STAMP) ## damaged lines, pages, increments and parts to compiled code and Python for SECONDS (60), compared; 10,000 generated EXPORTS converted
	$(BIN)/python scripts/fuzz_decoder.py --seconds $(or $(SECONDS),60)
	DDBEXPORT_DECODER_ROUNDS=$(or $(ROUNDS),100) DDBEXPORT_EXPORTS=$(or $(EXPORTS),10000) $(BIN)/python -m pytest -q \
	  tests/core/test_decoder.py tests/core/snapshot/test_one_pass.py tests/core/snapshot/test_generated_exports.py \
	  tests/core/snapshot/test_learnt.py

kills: $(STAMP) ## conversions killed at 100 random moments and at every part, in several ways, and scans killed 50 times
	DDBEXPORT_KILLS=$(or $(KILLS),100) DDBEXPORT_SCAN_KILLS=$(or $(SCAN_KILLS),50) $(BIN)/python -m pytest -q \
	  tests/core/snapshot/test_killed.py tests/core/scan/test_resume.py

asan: $(STAMP) ## the same damage for SECONDS (600) to all compiled code under AddressSanitizer; needs gcc
	@$(UV) pip install --quiet --python $(BIN)/python --target .local/asan/tools 'cython>=3.1' setuptools
	PYTHONPATH=.local/asan/tools CFLAGS='$(SANITIZED)' LDFLAGS='-fsanitize=address,undefined' \
	  $(BIN)/python -c 'import setuptools; setuptools.setup()' \
	  --quiet build_ext --force --build-temp .local/asan/objects --build-lib .local/asan
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2000 UBSAN_OPTIONS=halt_on_error=1 \
	  $(BIN)/python scripts/fuzz_decoder.py --seconds $(or $(SECONDS),600) --compiled .local/asan/$(KERNEL)

bench: $(BENCH) ## conversion and its peers, into docs/benchmarks.md; about 20 minutes; SCALE=1 is 570 MB of reviews
	@$(BIN)/python benchmarks/bench_convert.py --scale $(or $(SCALE),1) --page

bench-identity: $(STAMP) ## every corpus converted with every option and compared with what comes back
	@$(BIN)/python benchmarks/bench_identity.py --scale $(or $(SCALE),0.1)

bench-merge: $(STAMP) ## a day's increment merged, against converting again, into docs/benchmarks.md; about 12 minutes; ITEMS=5000000
	@$(BIN)/python benchmarks/bench_merge.py --items $(or $(ITEMS),5000000) --page --json build/bench-merge.json

airflow: $(STAMP) ## Airflow on loopback beside the embedded AWS, until Ctrl-C
	@$(BIN)/python scripts/run_airflow.py

bench-scan: $(BENCH) $(AWSWRANGLER)/.installed ## scans, ours and other clients, into docs/benchmarks.md; about 12 minutes
	@$(BIN)/python benchmarks/bench_scan.py --docs --json build/bench-scan.json \
	  --awswrangler-python $(AWSWRANGLER)/bin/python

readers: $(BENCH) ## a live table read by DuckDB, Polars, pandas, and by Spark, which needs Java and is no part of make test
	$(BIN)/python -c 'import pyspark'
	$(BIN)/python -m pytest -q tests/core/scan/test_readers.py

# Airflow 3.0 is full of what has been deprecated since, and its branches cannot be asked which way they choose.
lowest: $(LOWEST)/.installed ## every module imported, and Airflow's tests, with the oldest of all that pyproject.toml permits; about 4 minutes
	$(LOWEST)/bin/python -m pytest -q -W default tests/airflow \
	  tests/project/test_package.py::test_every_module_can_be_imported \
	  --deselect 'tests/airflow/test_whole_way.py::test_the_documented_policies_are_enough[reviews_history]' \
	  --deselect tests/airflow/test_whole_way.py::test_a_day_that_is_gone_is_merged_from_what_was_exported

wheel: $(STAMP) ## sdist and wheel for this Python into dist/, both tried where there is no C compiler
	@rm -rf dist
	@$(UV) build --quiet --python $(BIN)/python --out-dir dist .
	@$(BIN)/python scripts/try_distributions.py --uv $(UV) dist

wheels: $(STAMP) ## wheels for every Python and machine of pyproject.toml into dist/; on Linux needs Docker
	@$(UV) tool run cibuildwheel@4.3.3 --output-dir dist

# All of it from the weeks after Airflow 3.0, but for what the embedded AWS is made of.
EMBEDDED := duckdb moto py-partiql-parser sqlglot
COMPILE = $(UV) pip compile --universal --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url \
  --no-emit-find-links --no-emit-package airflow-provider-ddbexport --custom-compile-command "make pins" --quiet
pins: $(STAMP) ## compile requirements/*.txt anew from pyproject.toml
	@$(COMPILE) pyproject.toml --extra dev -o requirements/dev.txt
	@$(COMPILE) --group pyproject.toml:bench --constraint requirements/dev.txt -o requirements/bench.txt
	@$(COMPILE) --group pyproject.toml:awswrangler -o requirements/awswrangler.txt
	@$(COMPILE) pyproject.toml --extra local --extra ion --group lowest --resolution lowest-direct \
	  --exclude-newer 2025-05-30 $(EMBEDDED:%=--exclude-newer-package %=2026-11-01) -o requirements/lowest.txt

clean:
	rm -rf $(KERNEL)/_*.c $(KERNEL)/*.so $(KERNEL)/*.built $(VENV) .local build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
