# Two commands set everything up: `make up` runs Craton, `make test` passes the tests.
# `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help up install install-dev test test-all test-node test-strangers check-policies lint types docs lock \
	conformance crash limits open-responses tools mutants fuzz fleet-machine \
	bench-gateway bench-engine bench-silicon bench-fleet clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Craton needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 up")'
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/install.stamp: $(VENV)/python.stamp requirements.lock pyproject.toml
	@echo "Installing Craton and what it needs, each file checked against its hash …"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on \
		--require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -e .
	@touch $@

$(VENV)/install-dev.stamp: $(VENV)/install.stamp requirements-dev.lock
	@echo "Installing the tools of the tests …"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on \
		--require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/install.stamp ## Make .venv from the lock file
install-dev: $(VENV)/install-dev.stamp ## The same, with the tools of the tests

up: install ## Start Craton on http://127.0.0.1:8400 and ask its model one question
	@$(BIN)/craton up

test: install-dev lint types ## Lint, types and the tests that fit into eight minutes
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not node" $(TESTS)

test-all: install-dev lint types ## Every test, the slow ones too
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not node" $(TESTS)

test-node: install-dev ## The clients from npm: AWS SDK, Vercel AI SDK, Claude Code (needs Node)
	$(BIN)/python -m pytest -q -m node tests/clients

test-strangers: install-dev ## Frameworks and programs that others wrote, each with its own pins
	$(BIN)/python -m pytest -q -m slow tests/clients

check-policies: install-dev ## 100,000 random policies beside an independent evaluator (needs Node)
	$(BIN)/python -m tests.policies_peer --cases 100000

lint: install-dev ## Ruff: rules and format
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .

types: install-dev ## Pyright (as basedpyright ships it, without Node), strict
	$(BIN)/basedpyright

docs: install-dev ## Rewrite the generated pages
	$(BIN)/python -m tests.conformance > docs/coverage.md
	$(BIN)/python -m craton.silicon.claims > docs/silicon-claims.md

conformance: install-dev ## Record anew what real clients reach, and rewrite docs/coverage.md
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not node" --record \
		tests/sdk tests/system tests/docs
	$(BIN)/python -m tests.conformance > docs/coverage.md

lock: install-dev ## Resolve the dependencies anew, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate pyproject.toml --output-file requirements.lock --upgrade
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate pyproject.toml --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock

crash: install-dev ## Kill processes a thousand times under load, then compare every bill
	$(BIN)/python -m tests.crash
	$(BIN)/python -m tests.crash --database postgresql --kills 100

mutants: install-dev ## Sabotage the code in named ways; each must be caught by its test
	$(BIN)/python -m tests.mutants

fleet-machine: install-dev ## 100,000 commands of the fleet in any order, with crashes
	CRATON_FLEET_STEPS=100000 $(BIN)/python -m pytest -q tests/properties/test_fleet_machine.py

tools: install-dev ## 1,000 forced calls and 1,000 schemas on the 135M model
	$(BIN)/python -m tests.tools --calls 1000 --schemas 1000

open-responses: install-dev ## The compliance cases of Open Responses, WebSocket included
	$(BIN)/python -m tests.open_responses

limits: install-dev ## Race for budgets and limits with 64 clients; kill processes meanwhile
	$(BIN)/python -m tests.limits
	$(BIN)/python -m tests.crash --budget --kills 300

fuzz: install-dev ## 100,000 hostile inputs each over HTTP/1.1, HTTP/2 and TLS
	$(BIN)/python -m tests.fuzz

bench-gateway: install-dev ## The gateway beside its rivals, on one core
	$(BIN)/python benchmarks/gateway/bench.py

bench-engine: install-dev ## The embedded engine, bare and through Craton
	$(BIN)/python benchmarks/engine/bench.py

bench-silicon: install-dev ## How far the planner's estimates are off, and how fast it searches
	$(BIN)/python -m benchmarks.silicon
	$(BIN)/python -m benchmarks.silicon.search

bench-fleet: install-dev ## The fleet: where gangs go, what is sold, a real trace, 1.44 million chips
	$(BIN)/python benchmarks/fleet/placement.py
	$(BIN)/python -m benchmarks.fleet.earliest
	$(BIN)/python -m benchmarks.fleet.sells
	$(BIN)/python -m benchmarks.fleet.state
	$(BIN)/python -m benchmarks.fleet.openb

clean: ## Remove the environment and what tools left
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
