# Everything works on a machine that has Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt

.PHONY: help serve test test-quick soak soak-versions fuzz e2e e2e-long simulation image lint structure coverage format docs k8s bench bench-single bench-short bench-record bench-cluster bench-delivery lock clean

help: ## Show what there is
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

serve: $(VENV)/.serve ## Run the server with the demo at http://127.0.0.1:8000/
	@exec $(BIN)/tradecast demo

test: $(VENV)/.dev ## Run every test that this machine can run, and say what it cannot (WORKERS=2 …; some 10 minutes)
	@scripts/test

test-quick: $(VENV)/.dev ## Run tests/unit and tests/static: in a minute or two
	@scripts/test --quick

soak: $(VENV)/.dev ## Prove that no event is lost while everything fails (FAULTS_SECONDS=3600 FAULTS_SEED=7 …)
	FAULTS_SECONDS=$${FAULTS_SECONDS:-3600} $(BIN)/pytest tests/faults -s

soak-versions: $(VENV)/.dev ## The same with every second server of an earlier version (BEFORE=<revision>; FAULTS_SECONDS=120 for minutes)
	FAULTS_SECONDS=$${FAULTS_SECONDS:-3600} scripts/soak-versions $(BEFORE)

fuzz: $(VENV)/.fuzz ## Fuzz the parsers, outside CI (needs Linux; FUZZ="head --cases 10000"; half an hour)
	PYTHONPATH=tests $(VENV)/fuzz/bin/python -m fuzz $(FUZZ)

e2e: $(VENV)/.dev ## Run the tests on a kind cluster (E2E_KEEP=1 keeps the cluster)
	@tests/e2e/run -m "not long"

e2e-long: $(VENV)/.dev ## The same with those that take minutes each
	@tests/e2e/run

simulation: $(VENV)/.dev ## Live through a day of thousands of pods, rollouts and a market's opening (minutes; PARTS="opening rollout": seconds)
	PYTHONPATH=tests $(BIN)/python -m simulation.report $(PARTS)

image: ## Build the container image tradecast:dev (BASE=… for another base)
	docker build $(if $(BASE),--network host --build-arg BASE=$(BASE)) -t tradecast:dev .

lint: $(VENV)/.dev ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

coverage: $(VENV)/.dev ## Measure branch coverage of the tests that run in one process (COVER="tests/unit"; some minutes)
	$(BIN)/pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered $(or $(COVER),tests/unit tests/operator tests/simulation tests/protocol tests/integration)

structure: $(VENV)/.python ## Print figures of the code's structure: sizes, names, constructors, docstrings, tests
	@$(BIN)/python scripts/structure.py

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Write the tables in docs/ and the dashboards anew
	$(BIN)/python scripts/write_docs.py
	$(BIN)/python -m observability.build

k8s: $(VENV)/.dev ## Write k8s/ anew from the chart (needs helm)
	@eval "$$(tests/e2e/cluster env)" && $(BIN)/python scripts/write_k8s.py

bench: bench-single bench-cluster bench-delivery ## Measure against other servers: one server, a fleet, slow links (BENCH="--rounds 1")

bench-single: $(VENV)/.bench ## One server against Node's, Bun's, Rust's and others (needs Linux, Node.js, cargo; 20 minutes)
	PYTHONPATH=bench:tests $(BIN)/python -m single $(BENCH)

bench-short: $(VENV)/.dev ## Fail if tradecast has become dearer against Node's Socket.IO (as CI does; a minute)
	PYTHONPATH=bench:tests $(BIN)/python -m single.short

bench-record: $(VENV)/.dev ## Write down the ratios that bench-short compares with (a minute)
	PYTHONPATH=bench:tests $(BIN)/python -m single.short --record

bench-cluster: $(VENV)/.dev ## A fleet against Node's Socket.IO with two adapters (needs Linux, Node.js, redis-server)
	PYTHONPATH=bench:tests $(BIN)/python -m fleet $(BENCH)

bench-delivery: $(VENV)/.bench ## Market data over slow links, against Node's and python-socketio (needs the same, and redis-server; 40 minutes)
	PYTHONPATH=bench:tests $(BIN)/python -m delivery $(BENCH)

lock: ## Write constraints.txt anew from pyproject.toml
	rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/pip install -q '.[dev,bench]'
	build/lock/bin/pip freeze --exclude tradecast > $(CONSTRAINTS)

clean: ## Remove what was built
	rm -rf $(VENV) build dist node_modules tests/protocol/stock/node_modules tests/integration/sessions/express/node_modules bench/fleet/node/node_modules bench/single/peers/*/node_modules

# A stamp is newer than its virtual environment's inputs when nothing has to be installed.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve: pyproject.toml $(CONSTRAINTS) | $(VENV)/.python
	@echo "Installing what is pinned (once) …"
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/.python
	@echo "Installing what is pinned (once) …"
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@ $(VENV)/.serve

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing what draws the plots (once) …"
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev,bench]'
	@touch $@

# In an environment of its own: nothing else needs the fuzzer, which has wheels for few versions of Python.
$(VENV)/.fuzz: pyproject.toml $(CONSTRAINTS) | $(VENV)/.python
	$(PYTHON) -m venv $(VENV)/fuzz
	$(VENV)/fuzz/bin/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[fuzz]'
	@touch $@
