# hostsweep: one command each. `make demo` and `make test` need nothing but Python 3.11+ with venv.
PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help dev demo check test test-deploy test-faults bench format constraints clean

help:
	@echo "make demo         the whole way on sample pictures, nothing outside this folder and /tmp is touched"
	@echo "make test         the test suite           make test-deploy  unit and image, really run (root)"
	@echo "make test-faults  kill and fail every system call: an hour or so"
	@echo "make check        lint, types, imports     make format       mend formatting"
	@echo "make bench        measure, print ratios    make constraints  pin dependencies anew"

.venv/installed: pyproject.toml constraints-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hostsweep needs Python 3.11 or newer: apt install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "setting up .venv (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

dev: .venv/installed

demo: dev
	@$(BIN)/python -m demo

check: dev
	$(BIN)/ruff format --check scanner tests demo
	$(BIN)/ruff check scanner tests demo
	$(BIN)/mypy
	$(BIN)/lint-imports

test: dev
	$(BIN)/python -m pytest

test-deploy: dev
	$(BIN)/python -m pytest tests/deploy

test-faults: dev
	FAULTS=all $(BIN)/python -m pytest tests/faults tests/hostile/test_response_strace.py

bench: dev
	$(BIN)/python tests/bench/run.py

format: dev
	$(BIN)/ruff format scanner tests demo
	$(BIN)/ruff check --fix scanner tests demo

constraints: dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) -o constraints.txt pyproject.toml
	$(COMPILE) --all-extras -o constraints-dev.txt pyproject.toml
	@for f in constraints.txt constraints-dev.txt; do sed -i '1i # Every package this is built and tested with, by version and digest; no download address.\n# Made by `make constraints`; installed by `pip install --require-hashes -r FILE`.' $$f; done

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
