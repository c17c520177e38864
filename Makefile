# Everything that a person or CI does here. Needs Python 3.11 or newer and make; installs the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS ?=
RUNS ?=

export UV_SYSTEM_CERTS = 1
export UV_PYTHON_DOWNLOADS = never
export PYTHONWARNINGS = default
# Images for containers often forbid Python to keep what it has compiled. The tests start hundreds
# of processes, and each of them would compile Django again: that takes longer than all the rest.
unexport PYTHONDONTWRITEBYTECODE

# Tests that start processes mostly wait, for leases to end for example; the others compute. Mixed,
# and more of them side by side than there are cores, they keep the cores busy until the end.
TESTS := -n 4 --dist worksteal

.PHONY: help install format lint types imports migrations reference docs check test compiled test-sqlite test-postgres \
	test-mariadb test-years test-browser test-conformance screenshots chaos simulate simulate-alerts simulate-faults walk house tox demo bench bench-lateness bench-idle bench-fleet bench-schedules bench-latency bench-submit \
	bench-drain bench-output bench-workers bench-memory bench-many bench-replanning bench-mixed bench-ledger bench-alerts bench-storage bench-viewers bench-dashboard bench-virtual bench-metrics bench-earliness lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 18

install: $(VENV)/.installed  ## install Sisy and its tools into .venv

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sisy needs Python 3.11 or newer. Run: make PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv module is missing. On Debian, run: apt install python3-venv"; exit 1; }
	@echo "Installing uv …"
	@PYTHONWARNINGS= $(BIN)/pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: uv.lock pyproject.toml | $(BIN)/uv
	@echo "Installing Sisy and its tools …"
	@$(BIN)/uv sync --frozen --quiet
	@touch $@

format: install  ## format the code, and fix what can be fixed automatically
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: install  ## check format and style
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: install  ## check the types
	$(BIN)/mypy

imports: install  ## check that layers import only lower layers
	$(BIN)/lint-imports --no-cache

migrations: install  ## check that no migration is missing
	$(BIN)/python tests/manage.py makemigrations --check --dry-run sisy

reference: install  ## generate the reference tables from the code
	$(BIN)/python docs/tables.py

docs: install  ## build the manual into docs/_build
	$(BIN)/python docs/tables.py --check
	PYTHONWARNINGS= $(BIN)/sphinx-build -W -q docs docs/_build

check: lint types imports migrations docs  ## run all of these checks

test: install  ## check and test everything, on SQLite and PostgreSQL
	@$(MAKE) --jobs=2 --output-sync=target compiled check
	@$(MAKE) test-sqlite
	@$(MAKE) test-postgres

# pytest compiles the tests when they are collected, and keeps that. Without it, each of the workers
# that collect them next would do the same at the same time.
compiled: install
	@output=$$($(BIN)/python -m pytest --collect-only --quiet --quiet 2>&1) || { echo "$$output"; exit 1; }

test-sqlite: install  ## run the tests on SQLite
	$(BIN)/python -m pytest $(TESTS)

test-postgres: install  ## run the database tests on PostgreSQL and Valkey, which are installed with them
	$(BIN)/python -m tests.servers $(BIN)/python -m pytest -m database $(TESTS)

test-mariadb: $(VENV)/.mariadb  ## run the database tests on Debian's MariaDB and Valkey
	$(BIN)/python -m tests.servers --mariadb $(BIN)/python -m pytest -m "database and not one_server" $(TESTS)

test-years: install  ## compare schedules with a check of every minute of whole years; takes minutes
	SISY_TEST_YEARS=1 $(BIN)/python -m pytest -n 2 tests/unit/test_years.py

$(VENV)/.mariadb: $(VENV)/.installed
	@$(BIN)/python -m tests.servers.mariadb
	@echo "Installing mysqlclient …"
	@$(BIN)/uv sync --frozen --quiet --inexact --group mariadb
	@touch $@

test-browser: $(VENV)/.browser  ## run the dashboard's tests in Debian's Chromium
	SISY_TEST_BROWSER=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/browser

screenshots: $(VENV)/.browser  ## take the manual's pictures of the dashboard
	$(BIN)/python -m tests.pictures
	$(BIN)/python -m tests.pictures.animation

$(VENV)/.browser: $(VENV)/.installed
	@$(BIN)/python -m tests.browser.chromium
	@echo "Installing Playwright …"
	@$(BIN)/uv sync --frozen --quiet --inexact --group browser
	@touch $@

test-conformance: install  ## run Django's own tests of django.tasks on Sisy; needs Python 3.12 or newer on PATH
	$(BIN)/tox -e conformance

chaos: $(if $(filter mariadb,$(DB)),$(VENV)/.mariadb,install)  ## break a fleet on purpose, and check the outcome; SECONDS=600 SEED=1 DB=sqlite TASKS=100; LAYER=none rings by LISTEN/NOTIFY on PostgreSQL, and elsewhere only polls; NEMESIS=freeze only freezes processes, NEMESIS=edit only edits tasks, NEMESIS=none does neither
	$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(DB),--db $(DB)) $(if $(LAYER),--layer $(LAYER)) $(if $(NEMESIS),--nemesis $(NEMESIS)) \
		$(if $(TASKS),--tasks $(TASKS))

simulate: install  ## simulate a site in virtual time, and check its ledger; SEED=7 DAYS=365
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(DAYS),--days $(DAYS))

simulate-alerts: install  ## inject problems in virtual time, and check that each has one alert; SEED=7 OCCURRENCES=100000 TASKS=100; SECONDS=600 to inject no more after 10 minutes
	$(BIN)/python -m tests.simulation.alerts $(if $(SEED),--seed $(SEED)) $(if $(TASKS),--tasks $(TASKS)) \
		$(if $(OCCURRENCES),--occurrences $(OCCURRENCES)) $(if $(SECONDS),--seconds $(SECONDS))

walk: install  ## print the files, functions and threads that take part when a task falls due; MOST=30 DB=sqlite
	$(if $(filter sqlite,$(DB)),,$(BIN)/python -m tests.servers) $(BIN)/python -m tests.walk $(if $(MOST),--most $(MOST))

house: install  ## print the lines of code, import cycles and misplaced code, compared with our targets
	$(BIN)/python -m tests.house

simulate-faults: install  ## remove single guards, and check that the simulation notices
	SISY_TEST_FAULTS=1 $(BIN)/python -m pytest -n 2 tests/simulation/test_faults.py tests/simulation/alerts

tox: $(if $(findstring mariadb,$(ENV)),$(VENV)/.mariadb,install)  ## run the tests on the oldest and newest supported Python and Django; ENV=py313-django61 for one, ENV=py313-django61-mariadb with the database tests on MariaDB
	$(BIN)/tox $(if $(ENV),-e $(ENV),--skip-missing-interpreters=true)

demo: install  ## run the demo; SECONDS=20 to stop it after 20 seconds
	$(BIN)/python example/demo.py $(if $(SECONDS),--seconds $(SECONDS))

bench: install  ## run all benchmarks below; QUICK=1 to only check that they work
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

bench-lateness: install  ## measure how late runs start; SECONDS=10 for a short run
	$(BIN)/python -m benchmarks.lateness $(if $(SECONDS),--seconds $(SECONDS))

bench-earliness: install  ## count functions that are called before their moment; SECONDS=300 TIMERS=100000
	$(BIN)/python -m benchmarks.earliness $(if $(SECONDS),--seconds $(SECONDS)) $(if $(TIMERS),--timers $(TIMERS))

bench-idle: install  ## measure the CPU time and the statements of an idle site, and of 50 idle workers
	$(BIN)/python -m benchmarks.idle $(if $(SECONDS),--seconds $(SECONDS))
	$(BIN)/python -m benchmarks.idle_fleet

bench-fleet: install  ## measure a fleet, and check that it runs everything exactly once
	$(BIN)/python -m benchmarks.fleet $(if $(SECONDS),--seconds $(SECONDS))

bench-schedules: install  ## measure how fast schedules find the next due moment and reject mistakes
	$(BIN)/python -m benchmarks.schedules

bench-latency: install  ## measure how soon an idle worker starts a submitted run
	$(BIN)/python -m benchmarks.latency

bench-submit: $(if $(filter mariadb,$(DB)),$(VENV)/.mariadb,install)  ## measure how fast runs are submitted; DB=mariadb
	$(BIN)/python -m benchmarks.submit $(if $(DB),--db $(DB))

bench-drain: $(if $(filter mariadb,$(DB)),$(VENV)/.mariadb,install)  ## measure how fast workers finish queued runs; DB=mariadb
	$(BIN)/python -m benchmarks.drain $(if $(DB),--db $(DB))

bench-output: install  ## measure what it costs to keep what runs print
	$(BIN)/python -m benchmarks.output

bench-mixed: $(if $(filter mariadb,$(DB)),$(VENV)/.mariadb,install)  ## measure how fast a mix of many tasks is submitted and executed; DB=mariadb
	$(BIN)/python -m benchmarks.mixed $(if $(DB),--db $(DB))

bench-workers: install  ## measure how throughput grows with worker processes
	$(BIN)/python -m benchmarks.workers

bench-memory: install  ## measure whether a worker's memory grows with the number of runs
	$(BIN)/python -m benchmarks.memory

bench-many: install  ## measure the cost of a thousand to a million tasks
	$(BIN)/python -m benchmarks.many

bench-replanning: install  ## measure how late tasks are while 100,000 others are replanned
	$(BIN)/python -m benchmarks.replanning

bench-ledger: install  ## measure whether a long ledger makes anything slower; RUNS="10000 1000000" for other lengths
	$(BIN)/python -m benchmarks.ledger $(foreach runs,$(RUNS),--runs $(runs))

bench-alerts: install  ## measure whether judging problems costs more with more tasks or runs; TASKS="3000 1000000" RUNS="10000 1000000"
	$(BIN)/python -m benchmarks.alerts $(foreach tasks,$(TASKS),--tasks $(tasks)) $(foreach runs,$(RUNS),--runs $(runs))

bench-storage: install  ## measure what a run costs PostgreSQL, with and without an open snapshot; SECONDS=300 for a long run
	$(BIN)/python -m benchmarks.storage $(if $(SECONDS),--seconds $(SECONDS))

bench-viewers: install  ## measure what open dashboard pages cost the workers
	$(BIN)/python -m benchmarks.viewers

bench-virtual: install  ## measure a forecast of a year, and a test that lasts a year
	$(BIN)/python -m benchmarks.virtual

bench-dashboard: install  ## measure the response times of the dashboard's pages
	$(BIN)/python -m benchmarks.dashboard

bench-metrics: install  ## measure a scrape of the metrics at many tasks and runs, and what counting costs a run; TASKS=100000 RUNS=1000000
	$(BIN)/python -m benchmarks.metrics $(if $(TASKS),--tasks $(TASKS)) $(if $(RUNS),--runs $(RUNS))

lock: install  ## update the locked versions
	$(BIN)/uv lock --upgrade

clean:  ## remove what was installed and built
	rm -rf $(VENV) .tox dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
