# Penstock: the two commands are `make run` and `make test`. Both set everything up by themselves.

.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PYTEST_ARGS ?=
LOCUST_ARGS ?=

.PHONY: help
help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup:
	@sh deploy/tools/setup.sh

.PHONY: run
run: setup ## Start the platform, train real models, and print the link to watch them
	@.venv/bin/penstock up --demo

.PHONY: test
test: setup ## Check everything: style, types, structure, contract, and all tests
	@sh deploy/tools/servers.sh
	@for name in peers mlflow2 mlflow-skinny; do sh deploy/tools/peers.sh $$name >/dev/null || exit 1; done
	@sh deploy/tools/check.sh
	@$(PYTHON) deploy/tools/run_tests.py $(PYTEST_ARGS)

.PHONY: e2e-all
e2e-all: setup ## The end-to-end tests in all shapes of the platform, on all stores
	@sh deploy/tools/servers.sh
	@$(PYTHON) deploy/tools/run_tests.py --all

.PHONY: check
check: setup ## Style, types, structure and contract alone
	@sh deploy/tools/check.sh

.PHONY: fix
fix: setup ## Format and mend what can be mended by itself
	@.venv/bin/ruff check -q --fix . ; .venv/bin/ruff format -q .
	@.venv/bin/buf format -w protos --path protos/penstock

.PHONY: protos
protos: setup ## Generate the code from protos/, and the synchronous client from the asynchronous one
	@sh deploy/tools/generate.sh
	@$(PYTHON) deploy/tools/unasync.py

.PHONY: lock
lock: ## Resolve the dependencies anew into requirements.lock
	@[ -x .tools/uv/bin/uv ] || command -v uv >/dev/null || sh deploy/tools/setup.sh
	@sh deploy/tools/lock.sh

.PHONY: bench
bench: setup ## Measure: every figure beside a peer or a limit of the same run, as a table and as JSON
	@$(PYTHON) -m loadtests

.PHONY: loadtest
loadtest: setup ## Locust: trainings that log and people who look, with objectives that fail the run; LOCUST_ARGS for more
	@$(PYTHON) -m loadtests.locust $(LOCUST_ARGS)

.PHONY: soak
soak: setup ## The long forms of the fault tests
	@PENSTOCK_SOAK=1 .venv/bin/pytest -q tests/robustness

.PHONY: clean
clean: ## Remove what setup made
	@rm -rf .venv .tools .pytest_cache .ruff_cache .hypothesis test-results
