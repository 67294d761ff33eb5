# hostsweep: one command each. `make demo` and `make test` need nothing but Python 3.11+ with venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench dev clean

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hostsweep needs Python 3.11 or newer: apt install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "setting up .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

dev: .venv/installed

check: dev
	$(BIN)/ruff format --check scanner tests
	$(BIN)/ruff check scanner tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test: dev
	$(BIN)/python -m pytest
