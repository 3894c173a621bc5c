# Lossatlas: every task that a developer or CI needs. `make help` lists them.
# A fresh machine needs Python 3.11 and make; everything else comes from pip (and, for browser
# tests, from Debian's packages).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
RUN    := $(VENV)/.runs
STAMP  := $(VENV)/.installed
PINS   := deploy/constraints.txt

# Processes of tests beside each other, each with servers of its own.
JOBS ?= 1
AT_ONCE = $(if $(filter-out 1,$(JOBS)),--numprocesses $(JOBS) --dist loadfile)

.DEFAULT_GOAL := help

.PHONY: help setup demo gallery up test test-fast attack test-integrations lint format bench openapi locks sbom clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install everything, pinned

# What it takes to run: the services, the workers, the demo.
$(RUN): pyproject.toml openapi/client/pyproject.toml openapi/gallery/pyproject.toml $(PINS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "torch==$$(sed -n 's/^torch==//p' $(PINS))"
	$(PIP) install --quiet --constraint $(PINS) --editable '.[demo]' --editable openapi/client --editable openapi/gallery
	touch $@

# What it takes to work on it.
$(STAMP): $(RUN)
	$(PIP) install --quiet --constraint $(PINS) --editable '.[workers,embedded,test]'
	touch $@

demo: $(RUN) ## Train two networks, push them, map them: PNG and JSON in demo-output/
	$(BIN)/lossatlas-server demo

gallery: $(RUN) ## Ask the paper's questions: one page in gallery-output/ (SIZE=small|standard|full)
	$(BIN)/lossatlas-server gallery

up: $(RUN) ## Run the whole service on this machine (Ctrl-C stops it)
	$(BIN)/lossatlas-server up

test: lint ## Lint, then run the tests against real servers (JOBS=2: two processes of tests)
	$(BIN)/python -m pytest $(AT_ONCE)

test-fast: $(STAMP) ## Run the tests that need no server, two processes of them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not server and not slow"

attack: $(STAMP) ## Try every hostile operator call and thousands of mutations
	LOSSATLAS_ATTACKS=all $(BIN)/python -m pytest tests/program_attack

test-integrations: $(STAMP) ## Install Lightning, transformers and MLflow; test with them
	$(PIP) install --quiet --constraint $(PINS) --editable '.[integrations]'
	$(BIN)/python -m pytest tests/integrations

lint: $(STAMP) ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict openapi/client/lossatlas openapi/gallery/lossatlas_gallery tests/client/typed_use.py
	$(BIN)/lint-imports

format: $(STAMP) ## Rewrite the code as ruff likes it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Time the claims; results go to tests/benchmarks/results/
	$(BIN)/python -m tests.benchmarks

openapi: $(RUN) ## Write openapi/v1.json from the code
	$(BIN)/lossatlas-server openapi > openapi/v1.json.new && mv openapi/v1.json.new openapi/v1.json

locks: $(STAMP) ## Write deploy/locks (hashes of every package) from the pins
	$(PIP) install --quiet --constraint $(PINS) --editable '.[locks]'
	$(BIN)/python deploy/locks/write.py $(BIN)/uv

sbom: $(STAMP) ## Write the bills of materials (CycloneDX) into build/sbom/
	$(BIN)/python deploy/sbom.py build/sbom

clean: ## Remove what was built (not .lossatlas, which holds data)
	rm -rf $(VENV) build dist *.egg-info openapi/*/*.egg-info .mypy_cache .ruff_cache .pytest_cache
