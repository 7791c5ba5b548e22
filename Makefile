# Topline: `make demo` runs the main job, `make test` passes the tests; each sets up what it needs.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
WORKERS ?= 3
BESIDE_A_SERVER ?= 2
# what a database may make different: `make test` runs it on PostgreSQL too, `make test-postgres` all but what no database makes different
ROOMS := bank billing books connect contracts flows kernel market metering pipeline processor receivables simulation timeline
BOTH := $(addprefix tests/,$(ROOMS) demo faults web/test_every_page.py::test_every_page_is_whole_and_holds_no_inline_script_or_style)
PURE := tests/engine tests/bank/formats tests/oracles tests/docs tests/cli tests/bench tests/team tests/api/test_schema.py
SUITE := --dist loadscope --no-loadscope-reorder --durations=20
export OMP_NUM_THREADS := 1
unexport PYTHONDONTWRITEBYTECODE  # else each of the hundreds of commands that tests start compiles all sources anew

.DEFAULT_GOAL := help
.PHONY: help demo test test-postgres test-slow lint bench bench-tryton serve clean

help: ## Show these lines
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/run: pyproject.toml constraints.txt scripts/setup.sh
	@sh scripts/setup.sh "$(PYTHON)" "$(VENV)" ""
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt scripts/setup.sh
	@sh scripts/setup.sh "$(PYTHON)" "$(VENV)" "[dev]"
	@touch $@ $(VENV)/run

demo: $(VENV)/run ## Build the demo company, print Today, serve it on http://localhost:8000
	@TOPLINE_HOME=var/demo TOPLINE_PROCESSOR=simulator $(BIN)/topline demo --serve

test: $(VENV)/dev ## Run the tests: on SQLite, and where a server is found on PostgreSQL what that may make different
	$(BIN)/pytest -n $(WORKERS) $(SUITE) -m "not slow"
	$(BIN)/python tests/with_postgres.py $(BIN)/pytest -n $(BESIDE_A_SERVER) $(SUITE) -m "not slow and not journey" --ignore=tests/bank/formats $(BOTH)

test-postgres: $(VENV)/dev ## Run all tests on PostgreSQL that a database may make different
	$(BIN)/python tests/with_postgres.py $(BIN)/pytest -n $(BESIDE_A_SERVER) $(SUITE) -m "not slow and not journey" $(addprefix --ignore=,$(PURE))

test-slow: $(VENV)/dev ## Run the tests marked slow, and look for new counter-examples
	$(BIN)/pytest -m slow
	TOPLINE_HYPOTHESIS=hunt $(BIN)/pytest -n $(WORKERS) $(SUITE) tests/engine tests/kernel tests/api/test_schema.py

lint: $(VENV)/dev ## Check style, types and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev ## Print speeds as ratios measured in this run, on SQLite and PostgreSQL
	$(BIN)/python -m bench
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m bench

bench-tryton: $(VENV)/dev ## Bill beside Tryton 8.2, installed into an environment of its own, on PostgreSQL where a server is found
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m bench.peers.tryton

serve: $(VENV)/run ## Serve your own company on http://localhost:8000
	@$(BIN)/topline serve

clean: ## Remove the virtual environment and caches; your data in var/ stays
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
