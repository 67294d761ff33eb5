# hostsweep: one command each. `make demo` and `make test` need nothing but Python 3.11+ with venv.
PYTHON ?= python3
BIN := .venv/bin
TOOLS := .venv-tools/bin
# Extras stay in the pins: a package that asks for name[extra] finds only `name[extra]==…` pinned, not `name==…`.
# pip and setuptools are pinned like everything else.
COMPILE := $(TOOLS)/pip-compile --quiet --no-strip-extras --allow-unsafe --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
INSTALL := -m pip install --quiet --disable-pip-version-check
PINNED := constraints.txt constraints-dev.txt constraints-build.txt constraints-tools.txt constraints-fuzz.txt \
	constraints-quality.txt constraints-compared.txt
# The requirements of one list in pyproject.toml, a line each: listed "project.optional-dependencies.fuzz"
listed = $(TOOLS)/python tools/listed.py $(1)

.PHONY: help dev demo check test test-long test-deploy test-endurance test-faults test-race test-supply bench bench-quality bench-false-positives format fuzz package check-reproducible sbom constraints clean

help:
	@echo "make demo         the whole way on sample pictures, nothing outside this folder and /tmp is touched"
	@echo "make test         the test suite           make test-deploy  units and image, really run (root); ONLY=…"
	@echo "make test-long    what takes longer: every hash against its references, every form end to end"
	@echo "make test-race    the race test's long run: ROUNDS=20000 on ext4, tmpfs and across devices (root)"
	@echo "make test-faults  kill and fail every system call: an hour or so"
	@echo "make test-endurance  an hour of churn, list changes and killed workers: FILES=1000000 SECONDS=3600"
	@echo "make check        lint, types, imports     make format       mend formatting"
	@echo "make bench        measure; FULL=1 for more make constraints  pin dependencies anew"
	@echo "make bench-quality  how well altered pictures are found: half an hour, QUICK=1 for two minutes"
	@echo "make bench-false-positives  how often pictures look alike that are no copies"
	@echo "make fuzz         fuzz each target for SECONDS=600, or only TARGETS='feed_csv config_yaml'"
	@echo "make package      source archive and wheel make sbom         what they consist of, as CycloneDX"
	@echo "make test-supply  pins, packages, SBOM     make check-reproducible  builds twice, compares bytes"

.venv/installed: pyproject.toml constraints-dev.txt constraints-build.txt $(wildcard native/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hostsweep needs Python 3.11 or newer: apt install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "setting up .venv (once) ..."
	@$(BIN)/python $(INSTALL) --require-hashes -r constraints-dev.txt -r constraints-build.txt
	@$(BIN)/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv-tools/installed: constraints-tools.txt
	@$(PYTHON) -m venv .venv-tools
	@echo "setting up .venv-tools (once) ..."
	@$(TOOLS)/python $(INSTALL) --require-hashes -r constraints-tools.txt
	@touch $@

.venv/fuzz-installed: .venv/installed constraints-fuzz.txt
	@$(BIN)/python $(INSTALL) --require-hashes -r constraints-fuzz.txt \
		|| { echo "atheris can't be installed: it has wheels for some versions of Python only; this is $$($(BIN)/python -V)"; exit 1; }
	@touch $@

# What hostsweep is compared with may be missing: its rows say so. The constraints of the first hold for the second.
.venv/quality-installed: .venv/installed constraints-quality.txt constraints-compared.txt
	@$(BIN)/python $(INSTALL) --require-hashes -r constraints-quality.txt
	@$(BIN)/python $(INSTALL) --require-hashes --no-build-isolation -r constraints-compared.txt \
		|| echo "pdqhash and threatexchange can't be built: apt install g++, or go on without"
	@touch $@

dev: .venv/installed

demo: dev
	@$(BIN)/python -m demo

check: dev
	$(BIN)/ruff format --check scanner tests demo tools
	$(BIN)/ruff check scanner tests demo tools
	$(BIN)/mypy
	$(BIN)/lint-imports

# In two at once, halves of about the same length: two processors are what the machines of CI have.
test: dev
	@out=$$(mktemp); $(BIN)/python -m pytest tests/e2e tests/property tests/fuzz >$$out 2>&1 & \
	$(BIN)/python -m pytest --ignore=tests/e2e --ignore=tests/property --ignore=tests/fuzz; rest=$$?; \
	wait $$!; e2e=$$?; cat $$out; rm -f $$out; exit $$((rest > e2e ? rest : e2e))

# A few minutes more of the same.
test-long: dev
	$(BIN)/python -m pytest -m long

test-deploy: dev
	$(BIN)/python -m pytest tests/deploy $(if $(ONLY),-k "$(ONLY)")

ROUNDS ?= 20000
test-race: dev
	RACE_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -s tests/hostile/test_response_race.py

test-endurance: dev
	ENDURANCE_FILES=$(or $(FILES),1000000) ENDURANCE_SECONDS=$(or $(SECONDS),3600) \
		$(BIN)/python -m pytest -s tests/e2e/test_endurance.py

test-faults: dev
	FAULTS=all $(BIN)/python -m pytest tests/faults tests/hostile/test_response_strace.py

bench: dev
	$(BIN)/python tests/bench/run.py $(if $(FULL),--full)

bench-quality: .venv/quality-installed
	$(BIN)/python -m tests.bench.quality $(if $(QUICK),--quick)

bench-false-positives: dev
	$(BIN)/python -m tests.bench.false_positives

format: dev
	$(BIN)/ruff format scanner tests demo tools
	$(BIN)/ruff check --fix scanner tests demo tools

fuzz: .venv/fuzz-installed
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS),600) $(TARGETS)

test-supply: dev .venv-tools/installed
	$(BIN)/python -m pytest tests/supply

check-reproducible: dev .venv-tools/installed
	$(BIN)/python -m pytest tests/supply/test_package.py

package: .venv-tools/installed
	@$(TOOLS)/python tools/package.py

sbom: dev .venv-tools/installed
	@$(TOOLS)/python tools/sbom.py

constraints: .venv-tools/installed
	$(COMPILE) -o constraints.txt pyproject.toml
	$(COMPILE) --extra dev -o constraints-dev.txt pyproject.toml
	$(call listed,build-system.requires) | $(COMPILE) -o constraints-build.txt -
	@# One version of each package in all files, whichever asks for it.
	$(call listed,project.optional-dependencies.tools) | $(COMPILE) -c constraints-dev.txt -o constraints-tools.txt -
	$(call listed,project.optional-dependencies.fuzz) | $(COMPILE) -o constraints-fuzz.txt -
	$(call listed,project.optional-dependencies.quality) | $(COMPILE) -c constraints-dev.txt -o constraints-quality.txt -
	$(call listed,project.optional-dependencies.compared) | $(COMPILE) -c constraints-dev.txt -c constraints-quality.txt -o constraints-compared.txt -
	@for f in $(PINNED); do sed -i '1i # Every package this is built and tested with, by version and digest; no download address.\n# Made by `make constraints`; installed by `pip install --require-hashes -r FILE`.' $$f; done

clean:
	rm -rf .venv .venv-tools .fuzz build dist sbom.cdx.json *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
